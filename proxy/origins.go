package proxy

import (
	"bytes"

	"github.com/holdfast-lb/holdfast/config"
)

// maxOrigin bounds the Origin of a handshake, in bytes: a scheme, a DNS name
// and a port are shorter.
const maxOrigin = 300

// originList holds the origins from which pages may open WebSockets. It is
// immutable; a look-up takes time in the labels of the name and allocates
// nothing.
type originList struct {
	exact map[string]bool // scheme://host
	below map[string]bool // scheme://host, for what stands below host
}

// newOriginList compiles a route's origins; nil if there are none.
func newOriginList(texts []string) (*originList, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	l := &originList{exact: map[string]bool{}, below: map[string]bool{}}
	for _, text := range texts {
		o, err := config.ParseOrigin(text)
		if err != nil {
			return nil, err
		}
		table := l.exact
		if o.Below {
			table = l.below
		}
		table[o.Scheme+"://"+o.Host] = true
	}
	return l, nil
}

// admits judges the Origin fields of a handshake. None is fine: a browser
// sends one with every handshake (RFC 6455, section 4.1, item 8), and
// whatever else does not could write there what it likes. Of several none is
// believed.
func (l *originList) admits(b *fieldBlock) bool {
	var origin []byte
	n := 0
	for i := range b.fields {
		if f := &b.fields[i]; f.kind == endToEnd && isName(b.nameOf(f), "origin") {
			origin = b.valueOf(f)
			n++
		}
	}
	return n == 0 || n == 1 && l.has(origin)
}

// has tells whether an origin is listed.
func (l *originList) has(origin []byte) bool {
	if len(origin) > maxOrigin {
		return false
	}
	var buf [maxOrigin]byte
	lower := buf[:len(origin)]
	for i, c := range origin {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	if l.exact[string(lower)] {
		return true
	}
	if len(l.below) == 0 {
		return false
	}
	at := bytes.Index(lower, []byte("://"))
	if at < 0 {
		return false
	}
	at += len("://")
	// Each dot of the name takes scheme:// one label further to the right.
	for rest := lower[at:]; ; {
		dot := bytes.IndexByte(rest, '.')
		if dot < 0 {
			return false
		}
		if dot == 0 {
			return false // an empty label
		}
		rest = rest[dot+1:]
		var key [maxOrigin]byte
		n := copy(key[:], lower[:at])
		n += copy(key[n:], rest)
		if l.below[string(key[:n])] {
			return true
		}
	}
}
