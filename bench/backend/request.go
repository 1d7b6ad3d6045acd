package backend

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"strconv"
)

// maxHead bounds a request header in bytes.
const maxHead = 16 << 10

// Request errors: the connection is closed on each.
var (
	errHeadTooLarge = errors.New("read request: header is larger than 16 KiB")
	errMethod       = errors.New("read request: the bench backend answers GET, HEAD and POST only")
	errLength       = errors.New("read request: a POST needs a Content-Length")
)

// Whole answers; they are appended, never built.
const (
	answerOK    = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\nHello, world!\n"
	answerHead  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n"
	answerLast  = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\nConnection: close\r\n\r\nHello, world!\n"
	answerBytes = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: "
	answer101   = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	acceptGUID  = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3
	headerEnd   = "\r\n\r\n"
	keyBytes    = 24 // base64 of 16 bytes
)

// Paths with a meaning of their own.
const (
	pathBytes = "/bytes/" // and a number: a body of that many bytes
	pathDie   = "/die"    // every other connection to this address is closed
	pathPush  = "/push"   // what one WebSocket says, all on this path hear
	pathHello = "/hello"  // a WebSocket on which the backend speaks first: its number
)

// request is what the backend must know of one request.
type request struct {
	key   []byte // Sec-WebSocket-Key; nil: not a handshake. Points into the input.
	path  []byte // with the query; points into the input
	body  int64  // bytes that follow the header
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
	method, target, _ := bytes.Cut(line, []byte(" "))
	r.path, _, _ = bytes.Cut(target, []byte(" "))
	post := false
	switch string(method) {
	case "GET":
	case "HEAD":
		r.head = true
	case "POST":
		post, r.body = true, -1
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
		case len("content-length"):
			if bytes.EqualFold(line[:colon], []byte("content-length")) {
				n, err := strconv.ParseUint(string(bytes.TrimSpace(line[colon+1:])), 10, 62)
				if err != nil {
					return r, 0, errLength
				}
				r.body = int64(n)
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
	if post && r.body < 0 {
		return r, 0, errLength
	}
	return r, size, nil
}

// sends returns the size of the body that r asks for, 0 unless it does.
func (r request) sends() int64 {
	size, ok := bytes.CutPrefix(r.path, []byte(pathBytes))
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(string(size), 10, 62)
	if err != nil {
		return 0
	}
	return int64(n)
}

// appendAnswer appends the answer to r, but for a body of pathBytes.
func appendAnswer(dst []byte, r request) []byte {
	switch {
	case r.key != nil:
		return appendUpgrade(dst, r.key)
	case r.sends() > 0 && !r.head:
		dst = strconv.AppendInt(append(dst, answerBytes...), r.sends(), 10)
		return append(dst, headerEnd...)
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
