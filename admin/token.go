package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// token is what callers must show. It is kept as a hash so that comparing
// takes the same time whatever was sent.
type token struct{ sum [sha256.Size]byte }

// newToken returns nil for an empty text: nobody is asked.
func newToken(text string) *token {
	if text == "" {
		return nil
	}
	return &token{sha256.Sum256([]byte(text))}
}

// equals tells whether both ask for the same.
func (t *token) equals(o *token) bool {
	return t == nil && o == nil || t != nil && o != nil && *t == *o
}

// allows judges a request's Authorization header (RFC 6750, section 2.1).
func (t *token) allows(authorization string) bool {
	if t == nil {
		return true
	}
	scheme, text, _ := strings.Cut(authorization, " ")
	sum := sha256.Sum256([]byte(strings.TrimLeft(text, " ")))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1
}
