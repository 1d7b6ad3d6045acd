package proxy

import "bytes"

// maxOptions bounds the field names that a Connection header may list. Each
// one is compared with each field, so without a bound a header of a few
// kilobytes would cost milliseconds. Real requests list one or two.
const maxOptions = 16

// kind sorts a field by what the header policy does with it.
type kind uint8

const (
	plain            kind = iota // forwarded, unless a Connection option names it
	endToEnd                     // forwarded, whatever Connection says
	hopByHop                     // never forwarded
	connection                   // as hopByHop; its options name further fields
	upgrade                      // as hopByHop, but for a WebSocket handshake
	transferEncoding             // as hopByHop; the framing is written anew
	te                           // as hopByHop, but for the token trailers
	trailer                      // forwarded before a chunked body only
	contentLength                // forwarded unless the body is chunked
	host                         // forwarded or replaced
	cookie                       // as endToEnd; sticky cookies are looked up in it
	forwardedFor                 // kept and appended to, or replaced
	forwardedProto               // kept or replaced
	forwardedHost                // kept or replaced
	forwardedOther               // kept or dropped
	requestIDField               // kept or replaced
	clientCertField              // never forwarded: only this proxy vouches for it
	malformed                    // never forwarded
)

// field is one header field: offsets into its block. The name is
// raw[start:colon], the value raw[value:end], the next line begins at next.
type field struct {
	start, colon, value, end, next int32

	kind kind
	// asIs: the line's bytes are forwarded without a look at them.
	asIs bool
}

// flaws are what a header block has that RFC 9112 forbids, or leaves to each
// recipient.
type flaws uint8

const (
	bareLF        flaws = 1 << iota // a line that ends without CR (section 2.2)
	folded                          // over several lines (section 5.2)
	badName                         // no name, or not a token, before the colon (section 5.1)
	tooManyFields                   // more than maxFields, which were not read
)

// fieldBlock is a parsed header block. It keeps its memory between parses and
// refers to the bytes it was given, which it never changes. The zero value is
// ready for use.
type fieldBlock struct {
	raw     []byte
	fields  []field
	options [maxOptions][]byte // names that Connection lists, known ones aside
	listed  int                // how many, which may be more than fit

	connUpgrade, websocket, teTrailers bool
	ofHop                              bool // there are fields that do not pass in an answer

	flaws   flaws
	lengths int // Content-Length fields
	codings int // Transfer-Encoding fields
}

// parse reads raw, a header block as fasthttp has accepted it: lines without
// the request line, the empty line at its end included or not. What RFC 9112,
// section 5, does not allow is noted in b.flaws; such a block is not forwarded
// (see judge.go), so nothing is mended here.
func (b *fieldBlock) parse(raw []byte) {
	b.raw = raw
	b.fields = b.fields[:0]
	b.listed = 0
	b.connUpgrade, b.websocket, b.teTrailers = false, false, false
	b.flaws, b.lengths, b.codings, b.ofHop = 0, 0, 0, false
	for at := 0; at < len(raw); {
		lf := bytes.IndexByte(raw[at:], '\n')
		if lf < 0 {
			break
		}
		next := at + lf + 1
		end := next - 1
		if end > at && raw[end-1] == '\r' {
			end--
		} else {
			b.flaws |= bareLF
		}
		switch {
		case end == at:
			next = len(raw) // the empty line
		case len(b.fields) == maxFields:
			b.flaws |= tooManyFields
			next = len(raw)
		case raw[at] == ' ' || raw[at] == '\t':
			b.flaws |= folded
		default:
			b.add(at, end, next)
		}
		at = next
	}
	for i := range b.fields {
		b.note(&b.fields[i])
	}
}

func (b *fieldBlock) add(at, end, next int) {
	line := b.raw[at:end]
	colon := bytes.IndexByte(line, ':')
	f := field{start: int32(at), colon: int32(at), value: int32(at), end: int32(end), next: int32(next), kind: malformed, asIs: true}
	if colon > 0 {
		f.colon = int32(at + colon)
		f.value = f.colon + 1
		b.trim(&f)
		f.kind = classify(line[:colon])
	}
	switch f.kind {
	case malformed:
		b.flaws |= badName
	case transferEncoding:
		b.codings++
	case contentLength:
		b.lengths++
		for f.end-f.value > 1 && b.raw[f.value] == '0' {
			f.value++ // to some servers the number would be octal
			f.asIs = false
		}
	}
	b.fields = append(b.fields, f)
}

func (b *fieldBlock) trim(f *field) {
	for f.value < f.end && isSpace(b.raw[f.value]) {
		f.value++
	}
	for f.end > f.value && isSpace(b.raw[f.end-1]) {
		f.end--
	}
}

// note collects what the policy must know before it writes the first field.
func (b *fieldBlock) note(f *field) {
	switch f.kind {
	case hopByHop, connection, upgrade, transferEncoding, te, trailer:
		b.ofHop = true
	}
	switch f.kind {
	case connection:
		for rest := b.raw[f.value:f.end]; len(rest) > 0; {
			var option []byte
			option, rest = nextToken(rest)
			b.option(option)
		}
	case upgrade:
		b.websocket = b.websocket || hasToken(b.valueOf(f), "websocket")
	case te:
		b.teTrailers = b.teTrailers || hasToken(b.valueOf(f), "trailers")
	}
}

// option files one option of Connection.
func (b *fieldBlock) option(option []byte) {
	switch {
	case len(option) == 0 || isName(option, "close") || isName(option, "keep-alive") || isName(option, "te"):
	case isName(option, "upgrade"):
		b.connUpgrade = true
	default:
		if b.listed < maxOptions {
			b.options[b.listed] = option
		}
		b.listed++
	}
}

// tooManyOptions tells that Connection lists more names than are honoured.
func (b *fieldBlock) tooManyOptions() bool { return b.listed > maxOptions }

// named tells whether Connection lists the field's name.
func (b *fieldBlock) named(f *field) bool {
	name := b.nameOf(f)
	for _, o := range b.options[:min(b.listed, maxOptions)] {
		if bytes.EqualFold(name, o) {
			return true
		}
	}
	return false
}

func (b *fieldBlock) nameOf(f *field) []byte { return b.raw[f.start:f.colon] }

func (b *fieldBlock) valueOf(f *field) []byte { return b.raw[f.value:f.end] }

// first returns the value of the first field of that kind, nil if none.
func (b *fieldBlock) first(k kind) []byte {
	for i := range b.fields {
		if b.fields[i].kind == k {
			return b.valueOf(&b.fields[i])
		}
	}
	return nil
}

// get returns the value of the first field of that name, which must be in
// lower case; nil if none.
func (b *fieldBlock) get(name string) []byte {
	for i := range b.fields {
		if f := &b.fields[i]; isName(b.nameOf(f), name) {
			return b.valueOf(f)
		}
	}
	return nil
}

// only returns the value of the field of that name, which must be in lower case,
// if there is exactly one.
func (b *fieldBlock) only(name string) string {
	var value []byte
	for i := range b.fields {
		if f := &b.fields[i]; isName(b.nameOf(f), name) {
			if value != nil {
				return ""
			}
			value = b.valueOf(f)
		}
	}
	return string(value)
}

// joined returns the values of all fields of that name, which must be in lower
// case, as one list.
func (b *fieldBlock) joined(name string) string {
	var list []byte
	for i := range b.fields {
		if f := &b.fields[i]; isName(b.nameOf(f), name) {
			if list != nil {
				list = append(list, ',')
			}
			list = append(list, b.valueOf(f)...)
		}
	}
	return string(list)
}

// isSpace tells what may surround a value (RFC 9110, section 5.6.3).
func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// nextToken cuts the first element off a comma-separated list.
func nextToken(list []byte) (token, rest []byte) {
	token = list
	if i := bytes.IndexByte(list, ','); i >= 0 {
		token, rest = list[:i], list[i+1:]
	}
	for len(token) > 0 && isSpace(token[0]) {
		token = token[1:]
	}
	for len(token) > 0 && isSpace(token[len(token)-1]) {
		token = token[:len(token)-1]
	}
	return token, rest
}

// hasToken tells whether a comma-separated list has the token, which must be
// in lower case. Parameters and versions count as part of an element, but for
// a weight such as trailers;q=0.5.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var t []byte
		t, list = nextToken(list)
		if i := bytes.IndexByte(t, ';'); i >= 0 {
			t = bytes.TrimRight(t[:i], " \t")
		}
		if isName(t, token) {
			return true
		}
	}
	return false
}
