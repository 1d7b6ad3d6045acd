package proxy

import (
	"encoding/hex"
	"math/rand/v2"
)

// maxRequestID bounds an id that a trusted proxy sends, in bytes. A longer one
// is replaced.
const maxRequestID = 64

// requestID names one request in the log, in the answer to a failed request
// and in X-Request-Id. Copying it is cheap.
type requestID struct {
	text [maxRequestID]byte
	len  uint8
}

// newRequestID returns 32 random hexadecimal digits. It makes no secret:
// whoever needs ids that cannot be guessed must not take these.
func newRequestID() (id requestID) {
	var b [16]byte
	for i, w := 0, [2]uint64{rand.Uint64(), rand.Uint64()}; i < 16; i++ {
		b[i] = byte(w[i/8] >> (8 * (i % 8)))
	}
	id.len = uint8(hex.Encode(id.text[:], b[:]))
	return id
}

// keepRequestID takes over an id that a trusted proxy sent. It is refused if
// it is empty, longer than maxRequestID or not made of visible ASCII.
func keepRequestID(sent []byte) (id requestID, ok bool) {
	if len(sent) == 0 || len(sent) > maxRequestID {
		return id, false
	}
	for _, c := range sent {
		if c <= ' ' || c >= 0x7f {
			return id, false
		}
	}
	id.len = uint8(copy(id.text[:], sent))
	return id, true
}

// bytes returns the id's text, valid as long as id is.
func (id *requestID) bytes() []byte { return id.text[:id.len] }
