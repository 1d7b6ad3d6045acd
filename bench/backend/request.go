package backend

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
)

// maxHead bounds a request header in bytes.
const maxHead = 16 << 10

// Request errors: the connection is closed on each.
var (
	errHeadTooLarge = errors.New("read request: header is larger than 16 KiB")
	errMethod       = errors.New("read request: the bench backend answers GET and HEAD only")
)

// Whole answers; they are appended, never built.
const (
	answerOK   = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n"
	answerHead = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n"
	answerLast = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\nConnection: close\r\n\r\nHello, world!\n"
	answer101  = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3
	headerEnd  = "\r\n\r\n"
	keyBytes   = 24 // base64 of 16 bytes
)

// request is what the backend must know of one request.
type request struct {
	key   []byte // Sec-WebSocket-Key; nil: not a handshake. Points into the input.
	head  bool   // HEAD: no body in the answer
	close bool   // the client will not send another one
}

// parseRequest reads one request header from b and returns it with its size in
// bytes, 0 when the header is not complete yet.
func parseRequest(b []byte) (r request, size int, err error) {
	end := bytes.Index(b, []byte(headerEnd))
	if end < 0 {
		if len(b) >= maxHead {
			return r, 0, errHeadTooLarge
		}
		return r, 0, nil
	}
	size = end + len(headerEnd)
	line, rest, _ := bytes.Cut(b[:end+2], []byte("\r\n"))
	switch {
	case bytes.HasPrefix(line, []byte("GET ")):
	case bytes.HasPrefix(line, []byte("HEAD ")):
		r.head = true
	default:
		return r, 0, errMethod
	}
	r.close = bytes.HasSuffix(line, []byte(" HTTP/1.0"))
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		// By length first: most headers are neither.
		switch colon := bytes.IndexByte(line, ':'); colon {
		case len("sec-websocket-key"):
			if bytes.EqualFold(line[:colon], []byte("sec-websocket-key")) {
				r.key = bytes.TrimSpace(line[colon+1:])
			}
		case len("connection"):
			if bytes.EqualFold(line[:colon], []byte("connection")) {
				r.close = r.close || bytes.EqualFold(bytes.TrimSpace(line[colon+1:]), []byte("close"))
			}
		}
	}
	if len(r.key) != keyBytes {
		r.key = nil
	}
	return r, size, nil
}

// appendAnswer appends the answer to r.
func appendAnswer(dst []byte, r request) []byte {
	switch {
	case r.key != nil:
		return appendUpgrade(dst, r.key)
	case r.head:
		return append(dst, answerHead...)
	case r.close:
		return append(dst, answerLast...)
	}
	return append(dst, answerOK...)
}

// appendUpgrade appends the 101 for a key (RFC 6455, section 4.2.2).
func appendUpgrade(dst, key []byte) []byte {
	var in [keyBytes + len(acceptGUID)]byte
	copy(in[copy(in[:], key):], acceptGUID)
	sum := sha1.Sum(in[:])
	dst = append(dst, answer101...)
	dst = base64.StdEncoding.AppendEncode(dst, sum[:])
	return append(dst, headerEnd...)
}
