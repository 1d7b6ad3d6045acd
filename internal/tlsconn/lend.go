package tlsconn

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// A *tls.Conn never gives back what its two input buffers have grown to: four
// kilobytes after a handshake, and room for two records, 36 KiB, once a large
// one has come. That is most of what an idle connection costs, so in the second
// life they are emptied when nothing is in them, and the buffer for records is
// the caller's own while Open reads it, which also saves a copy.
//
// Package tls has no word for that, so the buffers are found by name and type
// when the program starts. If they are not there as expected, in another
// version of Go, they are left alone, and connections are larger.
var (
	rawInputAt, rawInputFound = find[bytes.Buffer]("rawInput")
	inputAt, inputFound       = find[bytes.Reader]("input")
	handAt, handFound         = find[bytes.Buffer]("hand")
	lends                     = rawInputFound && inputFound && handFound
)

// find returns where in a tls.Conn the field of that name and type is.
func find[T any](name string) (offset uintptr, ok bool) {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	return f.Offset, ok && len(f.Index) == 1 && f.Type == reflect.TypeFor[T]()
}

// rawInput holds records that came and were not read.
func (c *Conn) rawInput() *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c.Conn), rawInputAt)) // the offset was checked above
}

// input is what the last record said, and refers to rawInput's memory.
func (c *Conn) input() *bytes.Reader {
	return (*bytes.Reader)(unsafe.Add(unsafe.Pointer(c.Conn), inputAt)) // the offset was checked above
}

// hand holds a handshake message that came in part.
func (c *Conn) hand() *bytes.Buffer {
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c.Conn), handAt)) // the offset was checked above
}

// trim gives back what the buffers do not need.
func (c *Conn) trim() {
	if !lends {
		return
	}
	if h := c.hand(); h.Len() == 0 && h.Cap() > 0 {
		*h = bytes.Buffer{}
	}
	if in := c.input(); in.Len() == 0 {
		*in = bytes.Reader{}
	}
	if raw := c.rawInput(); raw.Len() == 0 { // else the rest of a record is soon to come
		*raw = bytes.Buffer{}
	}
}

// lend makes the records in b those that are read next, if none has begun
// before, and reports whether it did. reclaim ends that.
func (c *Conn) lend(b []byte) bool {
	if !lends || c.rawInput().Len() > 0 {
		return false
	}
	*c.rawInput() = *bytes.NewBuffer(b)
	return true
}

// reclaim takes what was lent back: of a record that has begun a copy is made.
func (c *Conn) reclaim() {
	if raw := c.rawInput(); raw.Len() > 0 {
		*raw = *bytes.NewBuffer(bytes.Clone(raw.Bytes()))
	}
}

const recordHeader = 5

// missing returns how many bytes complete the record that b begins with, or
// its header if that is not whole.
func missing(b []byte) int {
	if len(b) < recordHeader {
		return recordHeader - len(b)
	}
	return recordHeader + int(b[3])<<8 + int(b[4]) - len(b)
}
