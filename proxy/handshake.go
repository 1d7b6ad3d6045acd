package proxy

import (
	"bytes"
	"crypto/sha1" // #nosec G505 -- RFC 6455 asks for it; it protects nothing
	"encoding/base64"
	"errors"
)

// acceptLen is the length of a Sec-WebSocket-Accept value.
const acceptLen = 28

// websocketGUID is the constant of RFC 6455, section 1.3.
const websocketGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// What is wrong with a handshake, as the client is told.
var (
	errHandshakeMethod     = errors.New("a WebSocket handshake is a GET")
	errHandshakeProto      = errors.New("a WebSocket handshake needs HTTP/1.1")
	errHandshakeConnection = errors.New(`a WebSocket handshake needs "Connection: Upgrade"`)
	errHandshakeKey        = errors.New("a WebSocket handshake needs one Sec-WebSocket-Key: 16 bytes in base64")
	errHandshakeBody       = errors.New("a WebSocket handshake has no body")
	errHandshakeVersion    = errors.New("this server speaks WebSocket version 13 only")
)

// checkOpening judges a client's handshake by RFC 6455, section 4.2.1, and
// returns its Sec-WebSocket-Key, which is borrowed. The caller has seen that its
// Upgrade names websocket. errHandshakeVersion calls for a 426, every other
// error for a 400.
func checkOpening(get, http11 bool, b *fieldBlock) (key []byte, err error) {
	if !get {
		return nil, errHandshakeMethod
	}
	if !http11 {
		return nil, errHandshakeProto
	}
	if !b.connUpgrade {
		return nil, errHandshakeConnection
	}
	keys, versions, version13 := 0, 0, false
	for i := range b.fields {
		f := &b.fields[i]
		switch {
		case f.kind == contentLength && string(b.valueOf(f)) != "0", f.kind == transferEncoding:
			return nil, errHandshakeBody
		case f.kind != endToEnd:
		case isName(b.nameOf(f), "sec-websocket-key"):
			keys++
			key = b.valueOf(f)
		case isName(b.nameOf(f), "sec-websocket-version"):
			versions++
			version13 = string(b.valueOf(f)) == "13"
		}
	}
	if versions != 1 || !version13 {
		return nil, errHandshakeVersion
	}
	if keys != 1 || !isKey(key) {
		return nil, errHandshakeKey
	}
	return key, nil
}

// isKey tells whether a Sec-WebSocket-Key holds 16 bytes (RFC 6455, section
// 4.1, item 7).
func isKey(key []byte) bool {
	if len(key) != 24 {
		return false
	}
	var raw [18]byte
	n, err := base64.StdEncoding.Decode(raw[:], key)
	return err == nil && n == 16
}

// acceptFor computes the Sec-WebSocket-Accept that answers key.
func acceptFor(key []byte) (accept [acceptLen]byte) {
	var in [24 + len(websocketGUID)]byte
	n := copy(in[:], key)
	n += copy(in[n:], websocketGUID)
	sum := sha1.Sum(in[:n]) // #nosec G401
	base64.StdEncoding.Encode(accept[:], sum[:])
	return accept
}

// What is wrong with a backend's answer to a handshake.
var (
	errNot101        = errors.New("the backend answered with another status than 101")
	errAnswerBroken  = errors.New("the backend's answer is not HTTP/1.1")
	errAnswerUpgrade = errors.New("the backend's 101 does not switch to websocket")
	errAnswerAccept  = errors.New("the backend's 101 has a wrong Sec-WebSocket-Accept")
)

// appendSwitching judges a backend's answer header, the empty line included,
// by RFC 6455, section 4.1, and appends the 101 for the client to dst: the
// backend's fields without those of its hop, and tie, a line that ties the client
// to the backend, or nothing. A route's shape, which may be nil, changes the fields by
// what f says. errNot101 means an ordinary answer, any other error a broken
// one. b is memory to parse with.
func appendSwitching(dst, head []byte, accept *[acceptLen]byte, tie []byte, s *shape, f *facts, b *fieldBlock) ([]byte, error) {
	status, sound := b.judgeAnswer(head)
	switch {
	case !sound:
		return dst, errAnswerBroken
	case status != 101:
		return dst, errNot101
	}
	if !b.websocket || !b.connUpgrade {
		return dst, errAnswerUpgrade
	}
	accepts := 0
	for i := range b.fields {
		if f := &b.fields[i]; f.kind == endToEnd && isName(b.nameOf(f), "sec-websocket-accept") {
			accepts++
			if !bytes.Equal(b.valueOf(f), accept[:]) {
				return dst, errAnswerAccept
			}
		}
	}
	if accepts != 1 {
		return dst, errAnswerAccept
	}
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"...)
	for i := range b.fields {
		field := &b.fields[i]
		if field.kind != endToEnd && (field.kind != plain || b.listed > 0 && b.named(field)) {
			continue
		}
		if s == nil {
			dst = appendField(dst, b.nameOf(field), b.valueOf(field))
		} else {
			dst = s.appendAnswered(dst, b.nameOf(field), b.valueOf(field), f)
		}
	}
	if s != nil && s.response != nil {
		dst = s.response.appendFields(dst, f)
	}
	dst = append(dst, tie...)
	return append(dst, '\r', '\n'), nil
}

// statusOf returns the status code of a status line (RFC 9112, section 4).
func statusOf(line []byte) (status int, ok bool) {
	const at = len("HTTP/1.1 ")
	if len(line) < at+3 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[at-2] != '0' && line[at-2] != '1' || line[at-1] != ' ' {
		return 0, false
	}
	for _, c := range line[at : at+3] {
		if c < '0' || c > '9' {
			return 0, false
		}
		status = 10*status + int(c-'0')
	}
	if len(line) > at+3 && line[at+3] != ' ' && line[at+3] != '\r' && line[at+3] != '\n' {
		return 0, false
	}
	return status, status >= 100
}
