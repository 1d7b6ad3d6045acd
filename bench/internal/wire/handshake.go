// Package wire is what both generators say and expect: the handshake and the
// frames of RFC 6455.
package wire

import (
	"bytes"
	"errors"
	"fmt"
)

// key is that of RFC 6455, section 1.3. One for all sockets: its freshness
// protects against caches, of which there are none here.
const key = "dGhlIHNhbXBsZSBub25jZQ=="

// Accept is the Sec-WebSocket-Accept that answers [Handshake].
const Accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

// maxAnswer bounds the header of a handshake's answer in bytes.
const maxAnswer = 8 << 10

// Handshake returns the request that opens a WebSocket.
func Handshake(host, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n", path, host, key)
}

// CheckAnswer reads the answer to a handshake from b. It returns its size in
// bytes, 0 when it is not complete yet, and an error when it is not the right
// 101.
func CheckAnswer(b []byte) (size int, err error) {
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
	if !bytes.Contains(b[:end], []byte(Accept)) {
		return 0, errors.New("read handshake answer: Sec-WebSocket-Accept is missing or wrong")
	}
	return end + 4, nil
}
