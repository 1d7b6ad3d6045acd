package relay

import "encoding/binary"

// textCheck tells whether bytes that come in pieces are UTF-8 (RFC 3629,
// section 4). The zero value stands at the beginning of a text.
type textCheck struct {
	need   uint8 // bytes that the character still lacks
	lo, hi uint8 // bounds of the next one
}

// whole tells whether the text may end here.
func (c *textCheck) whole() bool { return c.need == 0 }

// masked follows b, of which byte i is masked with byte (at+i)%4 of key, and
// is false once it cannot become UTF-8 any more. A key of zero is none.
func (c *textCheck) masked(b []byte, key [4]byte, at uint8) bool {
	key = [4]byte{key[at%4], key[(at+1)%4], key[(at+2)%4], key[(at+3)%4]}
	wide := uint64(binary.LittleEndian.Uint32(key[:])) * (1<<32 + 1)
	for i := 0; i < len(b); {
		if c.need == 0 && len(b)-i >= 8 && i%4 == 0 && (binary.LittleEndian.Uint64(b[i:])^wide)&0x8080808080808080 == 0 {
			i += 8 // eight of ASCII
			continue
		}
		if !c.next(b[i] ^ key[i%4]) {
			return false
		}
		i++
	}
	return true
}

// next follows one byte.
func (c *textCheck) next(b byte) bool {
	if c.need > 0 {
		if b < c.lo || b > c.hi {
			return false
		}
		c.need, c.lo, c.hi = c.need-1, 0x80, 0xbf
		return true
	}
	if b < 0x80 {
		return true
	}
	c.lo, c.hi = 0x80, 0xbf
	switch {
	case b < 0xc2 || b > 0xf4:
		return false
	case b < 0xe0:
		c.need = 1
	case b < 0xf0:
		c.need = 2
		switch b {
		case 0xe0:
			c.lo = 0xa0 // shorter forms exist below
		case 0xed:
			c.hi = 0x9f // surrogates are above
		}
	default:
		c.need = 3
		switch b {
		case 0xf0:
			c.lo = 0x90
		case 0xf4:
			c.hi = 0x8f // U+10FFFF is the last
		}
	}
	return true
}
