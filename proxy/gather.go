package proxy

import "sync"

const (
	// gatherSize is how much of a body is sent in one piece with its header, in
	// bytes.
	gatherSize = 64 << 10
	// headRoom is the room for that header; a longer one is sent before.
	headRoom = 2 << 10
)

// gathered is what had come of a streamed body of known length when the first
// attempt began. Most bodies are there as a whole by then: those cost one write,
// and no goroutine, and a backend that answers before it has read the body finds
// nothing under way that its answer would end.
type gathered struct {
	buf [headRoom + gatherSize]byte // the body begins at headRoom
	n   int                         // bytes of the body
}

// gatherings are shared by all exchanges. A request has one only until the
// backend's socket has taken it.
var gatherings = sync.Pool{New: func() any { return new(gathered) }}

// hastyReader is a client's connection that can be read without waiting.
type hastyReader interface{ ReadOnlyWhatIsThere(on bool) bool }

// gather reads what has come of the body, without waiting for more.
func (x *exchange) gather() class {
	c, known := x.ctx.Conn().(hastyReader)
	if x.early != nil || !known || !c.ReadOnlyWhatIsThere(true) {
		return ok
	}
	defer c.ReadOnlyWhatIsThere(false)
	length := x.ctx.Request.Header.ContentLength()
	body := x.ctx.RequestBodyStream()
	g := gatherings.Get().(*gathered)
	g.n = 0
	x.early = g
	for most := min(length, gatherSize); g.n < most; {
		n, err := body.Read(g.buf[headRoom+g.n : headRoom+most])
		g.n += n
		switch {
		case err != nil && g.n < length:
			x.bytesIn = int64(g.n)
			return classOfBody(err)
		case n == 0:
			return ok
		}
	}
	return ok
}

// sendEarly sends the header and what was gathered, as far as the backend takes
// it at once, and begins an upload of the rest.
func (x *exchange) sendEarly(c *backendConn) error {
	g := x.early
	from := headRoom - len(x.head)
	if from < 0 || c.raw == nil {
		from = headRoom
		if _, err := c.Write(x.head); err != nil {
			return err
		}
	} else {
		copy(g.buf[from:], x.head)
	}
	p := g.buf[from : headRoom+g.n]
	n, err := c.writeThere(p)
	if err != nil {
		return err
	}
	if n == len(p) && g.n == x.ctx.Request.Header.ContentLength() {
		x.whole, x.bytesIn = true, int64(g.n)
		x.ungather()
		return nil
	}
	x.startUpload(c, false, p[n:])
	return nil
}

func (x *exchange) ungather() {
	if x.early != nil {
		gatherings.Put(x.early)
		x.early = nil
	}
}
