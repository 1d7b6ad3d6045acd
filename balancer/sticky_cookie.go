package balancer

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
)

// The value of a cookie, and of a token, is base64url(id ‖ tag), 32 characters without padding:
//
//	id    8 bytes   HMAC-SHA256(secret, "id", scheme, address), truncated
//	tag  16 bytes   HMAC-SHA256(secret, "tag", pool, id), truncated (RFC 2104, section 5)
//
// The id stands for the backend and, being keyed, tells nobody its address.
// The tag keeps clients from trying ids, and binds the value to the pool.
// Balancers that share the secret understand each other's values, and remember
// nothing.
const (
	cookieID   = 8
	cookieTag  = 16
	cookieRaw  = cookieID + cookieTag
	cookieText = cookieRaw / 3 * 4
)

var cookieEncoding = base64.RawURLEncoding.Strict()

// cookieCodec knows the values of all backends of one pool beforehand, so no
// request computes an HMAC.
type cookieCodec struct {
	members map[uint64]int32  // index of the member with that id
	tags    [][cookieTag]byte // by index
}

func newCookieCodec(secret []byte, backends []*Backend) *cookieCodec {
	c := &cookieCodec{
		members: make(map[uint64]int32, len(backends)),
		tags:    make([][cookieTag]byte, len(backends)),
	}
	for i, b := range backends {
		var raw [cookieRaw]byte
		copy(raw[:cookieID], sign(secret, "id", b.key.Scheme, b.key.Address))
		copy(raw[cookieID:], sign(secret, "tag", b.key.Pool, string(raw[:cookieID])))
		b.cookieID = binary.BigEndian.Uint64(raw[:])
		b.cookie = cookieEncoding.EncodeToString(raw[:])
		c.members[b.cookieID] = int32(i)
		c.tags[i] = [cookieTag]byte(raw[cookieID:])
	}
	return c
}

// sign is the HMAC of some texts. Each goes in with its length, so that no two
// lists are the same bytes.
func sign(secret []byte, texts ...string) []byte {
	mac := hmac.New(sha256.New, secret)
	for _, t := range texts {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(t)))
		mac.Write(length[:])
		mac.Write([]byte(t))
	}
	return mac.Sum(nil)
}

// Encode is the value of the cookie or token for a backend of this pool: 32
// characters of base64url. It is "" if the pool is sticky by neither. It does
// not allocate.
func (s *Sticky) Encode(b *Backend) string { return b.cookie }

// Decode reads the value of a cookie or token that a client sent, and gives what
// [Query.StickyBackend] wants. ok is false for anything that [Sticky.Encode]
// of a balancer with this secret would not give to a backend of this pool. It
// does not allocate, and compares in constant time.
func (s *Sticky) Decode(value []byte) (id uint64, ok bool) {
	if s.cookies == nil || len(value) != cookieText {
		return 0, false
	}
	var raw [cookieRaw]byte
	// Fewer bytes come out when there are line breaks, which base64 skips.
	if n, err := cookieEncoding.Decode(raw[:], value); err != nil || n != cookieRaw {
		return 0, false
	}
	id = binary.BigEndian.Uint64(raw[:])
	i, known := s.cookies.members[id]
	if !known || subtle.ConstantTimeCompare(raw[cookieID:], s.cookies.tags[i][:]) != 1 {
		return 0, false
	}
	return id, true
}
