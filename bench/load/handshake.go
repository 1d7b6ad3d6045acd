package load

import (
	"bytes"
	"errors"
	"fmt"
)

// The key of RFC 6455, section 1.3, and its answer. One key for all sockets:
// its freshness protects against caches, of which there are none here.
const (
	key    = "dGhlIHNhbXBsZSBub25jZQ=="
	accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// maxAnswer bounds the header of a handshake's answer in bytes.
const maxAnswer = 8 << 10

// handshake returns the request that opens a WebSocket.
func handshake(host, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, host, key)
}

// checkAnswer reads the answer to a handshake from b. It returns its size in
// bytes, 0 when it is not complete yet, and an error when it is not the right
// 101.
func checkAnswer(b []byte) (size int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxAnswer {
			return 0, errors.New("read handshake answer: its header is larger than 8 KiB")
		}
		return 0, nil
	}
	status, _, _ := bytes.Cut(b, []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 101 ")) {
		return 0, fmt.Errorf("read handshake answer: %q instead of 101", status)
	}
	if !bytes.Contains(b[:end], []byte(accept)) {
		return 0, errors.New("read handshake answer: Sec-WebSocket-Accept is missing or wrong")
	}
	return end + 4, nil
}
