package proxy

import (
	"errors"
	"io"
)

const (
	// chunkRoom is the room for the head of a chunk before its data, in bytes.
	chunkRoom = 16
	// manyChunks is how many may be read without a wait before that takes a
	// turn: each costs the same, however little is in it.
	manyChunks = 32
)

// chunk is data of a chunked body that has come together and is sent as one:
// buf[from:to], with room for its head before it and its line end behind it.
type chunk struct {
	buf      []byte
	from, to int
	reads    int   // since the last wait
	failed   class // why the last one could not be sent; ok: it could
}

var errUnsent = errors.New("the backend does not take the body")

// copyChunks is copy for a chunked body. Neither the backend nor we shall have
// to take each byte by itself because a client sends chunks of one; but nothing
// waits for what has not come.
func (u *upload) copyChunks(buf []byte) class {
	c := &u.chunk
	c.buf, c.from, c.to = buf, chunkRoom, chunkRoom
	defer c.pause()
	for {
		n, err := u.body.Read(buf[c.to : chunkRoom+copySize])
		switch {
		case u.stopped.Load():
			return clientGone
		case c.failed != ok:
			return c.failed
		}
		u.read, c.to = u.read+int64(n), c.to+n
		if u.client != nil {
			u.client.TookBody(n)
			c.goOn()
		}
		if u.limit > 0 && u.read > u.limit {
			return bodyTooLarge
		}
		if u.client == nil || err != nil || c.to > chunkRoom+copySize/2 {
			if u.flush() != nil {
				return c.failed
			}
			c.from, c.to = chunkRoom, chunkRoom
		}
		switch {
		case err == nil:
		case err != io.EOF:
			u.why = err
			return classOfBody(err)
		case u.clientEnded():
			return clientGone
		default:
			return u.sendEnd()
		}
	}
}

// goOn counts a read, and waits for a turn where there have been many.
func (c *chunk) goOn() {
	if c.reads++; c.reads == manyChunks {
		turns <- struct{}{}
	}
}

// pause gives a turn back, ahead of whatever may wait.
func (c *chunk) pause() {
	if c.reads >= manyChunks {
		<-turns
	}
	c.reads = 0
}

// flush sends the chunk that there is.
func (u *upload) flush() error {
	c := &u.chunk
	c.pause()
	if c.from == c.to {
		return nil
	}
	at := c.from - chunkRoom
	at += chunkHead(c.buf[at:c.from], c.to-c.from)
	// A read that waits for the end of the next one has its data there already.
	end := c.buf[c.to : c.to+2]
	next := [2]byte(end)
	copy(end, "\r\n")
	c.failed = u.write(c.buf[at : c.to+2])
	copy(end, next[:])
	if c.from = c.to; c.failed != ok {
		return errUnsent
	}
	return nil
}

// endTeller is a client's connection that knows whether a read has met its end.
type endTeller interface{ ReadEnded() bool }

// clientEnded tells whether the client closed the connection. fasthttp takes
// that, between two chunks, for the last chunk, which would make half a body
// look whole to the backend. Behind a last chunk nobody reads on, so the end
// is not met there.
func (u *upload) clientEnded() bool {
	c, known := u.ctx.Conn().(endTeller)
	return known && c.ReadEnded()
}

// sendEnd writes the last chunk and the trailers that came.
func (u *upload) sendEnd() class {
	u.ending.Store(true)
	end := append([]byte("0\r\n"), u.trailers()...)
	return u.write(end)
}

// trailers returns the client's trailer section without the fields that would
// not pass in a header: some servers take the one for the other.
func (u *upload) trailers() []byte {
	var b fieldBlock
	b.parse(u.ctx.Request.Header.TrailerHeader())
	var out []byte
	for i := range b.fields {
		f := &b.fields[i]
		if f.kind == plain && !(u.copied != nil && u.copied.drops(b.nameOf(f))) && !(u.rules != nil && u.rules.drops(b.nameOf(f))) {
			out = appendField(out, b.nameOf(f), b.valueOf(f))
		}
	}
	return append(out, '\r', '\n')
}
