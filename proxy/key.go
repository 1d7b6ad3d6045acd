package proxy

import (
	"bytes"
	"fmt"
	"strings"
)

// keyFrom says which part of a request is its key.
type keyFrom uint8

const (
	noKey keyFrom = iota
	keySourceIP
	keyPath
	keyHeader
	keyQuery
	keyCookie
)

// key says where the key of a request for `balance: hash` or for stickiness is
// found. Keys are compared as they were sent: %20 and + are not the same.
type key struct {
	from keyFrom
	name string // of the header (in lower case), query parameter or cookie
}

// parseKey reads a hash_key such as "header:X-User". Empty is no key.
func parseKey(s string) (key, error) {
	from, name, _ := strings.Cut(s, ":")
	switch from {
	case "":
		return key{}, nil
	case "source_ip":
		return key{from: keySourceIP}, nil
	case "path":
		return key{from: keyPath}, nil
	}
	return namedKey(from, name)
}

// namedKey returns the key that a header, query parameter or cookie holds.
func namedKey(from, name string) (key, error) {
	if name == "" {
		return key{}, fmt.Errorf("compile key: %s needs a name, as in %s:room", from, from)
	}
	switch from {
	case "header":
		return key{from: keyHeader, name: strings.ToLower(name)}, nil
	case "query":
		return key{from: keyQuery, name: name}, nil
	case "cookie":
		return key{from: keyCookie, name: name}, nil
	}
	return key{}, fmt.Errorf("compile key: %q is none of source_ip, path, header, query and cookie", from)
}

// of returns the request's key, empty if it has none. The result refers to the
// request's memory or to buf and is valid as long as they are.
func (k *key) of(r *request, buf *[16]byte) []byte {
	switch k.from {
	case keySourceIP:
		if r.client.ip.IsValid() {
			*buf = r.client.ip.As16()
			return buf[:]
		}
	case keyPath:
		return r.path
	case keyHeader:
		return r.fields.get(k.name)
	case keyQuery:
		return queryValue(r.query, k.name)
	case keyCookie:
		return cookieValue(&r.fields, k.name)
	}
	return nil
}

// queryValue returns the value of the first parameter of that name, as sent.
func queryValue(query []byte, name string) []byte {
	for len(query) > 0 {
		pair := query
		if i := bytes.IndexByte(query, '&'); i >= 0 {
			pair, query = query[:i], query[i+1:]
		} else {
			query = nil
		}
		if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
			return pair[len(name)+1:]
		}
	}
	return nil
}

// cookieValue returns the value of the first cookie of that name, without
// quotes around it (RFC 6265, section 4.2.1).
func cookieValue(b *fieldBlock, name string) []byte {
	for i := range b.fields {
		if b.fields[i].kind != cookie {
			continue
		}
		for list := b.valueOf(&b.fields[i]); len(list) > 0; {
			pair := list
			if i := bytes.IndexByte(list, ';'); i >= 0 {
				pair, list = list[:i], list[i+1:]
			} else {
				list = nil
			}
			for len(pair) > 0 && isSpace(pair[0]) {
				pair = pair[1:]
			}
			if len(pair) > len(name) && pair[len(name)] == '=' && string(pair[:len(name)]) == name {
				value := bytes.TrimRight(pair[len(name)+1:], " \t")
				if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
					value = value[1 : n-1]
				}
				return value
			}
		}
	}
	return nil
}
