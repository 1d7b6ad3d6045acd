package proxy

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/cause"
)

const (
	// copySize is how much of a streamed body is held in memory at once, for
	// each direction of each request.
	copySize = 32 << 10
	// lastWord is how long a backend that takes no more of a body has for the
	// answer that it may have sent instead.
	lastWord = time.Second
	// endingTime is how long the last bytes of a body may take to be written
	// once an answer has come.
	endingTime = 100 * time.Millisecond
)

// copyBuffers have room for a chunk's head before the data and for its line
// end behind them.
var copyBuffers = sync.Pool{New: func() any {
	b := make([]byte, chunkRoom+copySize+2)
	return &b
}}

// upload sends a streamed request body to a backend while the handler waits
// for the answer, which may come before the body has ended. Its goroutine owns
// the request's body stream until it ends, and wakes the handler's read when
// it does.
type upload struct {
	ctx     *fasthttp.RequestCtx
	body    io.Reader
	conn    *backendConn
	chunked bool
	length  int64 // of the body; ignored if chunked
	limit   int64 // bytes; 0: none
	// patience is how long the backend may take nothing, and how long it has
	// for its answer once it has everything; 0: for ever.
	patience time.Duration

	// What trailers must not bring in; nil: nothing.
	copied *copiedFields
	rules  *fieldRules

	client uploadConn // nil: it cannot tell when it waits

	chunk chunk // of a chunked body, what has come of it

	// What was read before and is to be sent first; nil: nothing.
	early  *gathered
	unsent []byte

	stopped atomic.Bool   // nobody wants the rest
	ending  atomic.Bool   // the last bytes are being written
	settled atomic.Bool   // who sets it first owns the connection's read deadline
	done    chan struct{} // closed when the goroutine has ended

	// To be read after done only.
	result class
	why    error // of result, in the system's words; nil: it says all
	read   int64 // bytes of the body
}

// startUpload begins to send the body over c, to which the head was written, or
// all but the end of what was gathered, which is unsent.
func (x *exchange) startUpload(c *backendConn, chunked bool, unsent []byte) {
	x.upload = &upload{
		ctx: x.ctx, body: x.ctx.RequestBodyStream(), conn: c,
		chunked: chunked, length: int64(x.ctx.Request.Header.ContentLength()),
		limit: x.l.maxBody, patience: x.route.timeouts.Response,
		copied: x.req.copied,
		done:   make(chan struct{}),
		early:  x.early, unsent: unsent,
	}
	if x.early != nil {
		x.upload.read = int64(x.early.n)
		x.early = nil // the upload's
	}
	if s := x.route.shape; s != nil {
		x.upload.rules = s.request
	}
	if c, known := x.ctx.Conn().(uploadConn); known {
		x.upload.client = c
		if chunked {
			c.TookBody(0)
		}
		c.BeginUpload(x.upload.beforeRead)
	}
	// The upload sets the deadline of the answer when the request has ended.
	_ = c.readWithin(time.Time{}, 0)
	go x.upload.run()
}

// uploading tells whether a body is still being sent.
func (x *exchange) uploading() bool {
	if x.upload == nil {
		return false
	}
	select {
	case <-x.upload.done:
		return false
	default:
		return true
	}
}

// uploaded tells whether the request was sent to its end.
func (x *exchange) uploaded() bool {
	return x.upload == nil || !x.uploading() && x.upload.result == ok
}

func (u *upload) run() {
	u.result = u.sendUnsent()
	if u.result == ok && (u.chunked || u.read < u.length) {
		buf := copyBuffers.Get().(*[]byte)
		if u.chunked {
			u.result = u.copyChunks(*buf)
		} else {
			u.result = u.copy(*buf)
		}
		copyBuffers.Put(buf)
	}
	if u.client != nil {
		u.client.EndUpload()
	}
	answered := !u.settled.CompareAndSwap(false, true)
	switch {
	case answered: // or about to be
	case u.result == broken:
		_ = u.conn.SetReadDeadline(time.Now().Add(lastWord))
	case u.result != ok:
		_ = u.conn.SetReadDeadline(past)
	case u.patience > 0:
		_ = u.conn.SetReadDeadline(time.Now().Add(u.patience))
	}
	close(u.done)
	if answered {
		u.breakOff()
	}
}

// breakOff ends the request at the backend, if the client has failed to, whose
// answer has begun: it may wait for the rest.
func (u *upload) breakOff() {
	if h, can := u.conn.Conn.(interface{ CloseWrite() error }); can && u.clientFailed() {
		_ = h.CloseWrite()
	}
}

// clientFailed tells whether it is for the client that the body was not sent
// to its end. It is to be asked when that has ended.
func (u *upload) clientFailed() bool {
	switch u.result {
	case bodyTooLarge, bodyTimeout, bodyBroken, clientGone:
		return !u.stopped.Load()
	}
	return false
}

// takeOver is called when the read of the answer has returned. From now on the
// upload leaves the connection's deadline alone; if it has set it, it has ended
// and its result is known.
func (u *upload) takeOver() {
	if !u.settled.CompareAndSwap(false, true) {
		<-u.done // in a moment
		u.breakOff()
		return
	}
	if u.ending.Load() {
		// A backend that has everything answers faster than our goroutine
		// ends. One that does not take the rest of it answers early.
		select {
		case <-u.done:
		case <-time.After(endingTime):
		}
	}
}

// sendUnsent sends what was gathered, of which some may be sent already.
func (u *upload) sendUnsent() class {
	if u.early == nil {
		return ok
	}
	if u.read == u.length {
		u.ending.Store(true)
	}
	c := ok
	if len(u.unsent) > 0 {
		c = u.write(u.unsent)
	}
	gatherings.Put(u.early)
	u.early, u.unsent = nil, nil
	return c
}

// copy sends a body of known length and returns why it could not.
func (u *upload) copy(buf []byte) class {
	for {
		n, err := u.body.Read(buf)
		if u.stopped.Load() {
			return clientGone
		}
		u.read += int64(n)
		if u.limit > 0 && u.read > u.limit {
			return bodyTooLarge
		}
		if n > 0 {
			if u.read == u.length {
				u.ending.Store(true)
			}
			if c := u.write(buf[:n]); c != ok {
				return c
			}
		}
		switch {
		case err == nil:
		case err != io.EOF:
			u.why = err
			return classOfBody(err)
		case u.read < u.length:
			return clientGone
		default:
			return ok
		}
	}
}

func (u *upload) write(p []byte) class {
	err := u.conn.writeWithin(time.Now(), u.patience)
	if err == nil {
		_, err = u.conn.Write(p)
	}
	if err == nil {
		return ok
	}
	u.why = err
	if cause.Timeout(err) {
		return late
	}
	return broken
}

// stop ends an upload that nobody wants any more, and returns when its
// goroutine has let go of the request. client is the request's connection,
// which can be used for nothing but an answer afterwards.
func (u *upload) stop(client net.Conn) {
	u.stopped.Store(true)
	for {
		// Once is enough but for a read that is just setting a deadline of its
		// own.
		_ = client.SetReadDeadline(past)
		_ = u.conn.SetWriteDeadline(past)
		select {
		case <-u.done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// uploadConn is a client's connection that bounds what is read of a body and,
// of a chunked one, what frames it; and tells when it would wait.
type uploadConn interface {
	BeginUpload(before func() error)
	TookBody(n int)
	EndUpload()
}

var errStopped = errors.New("nobody wants the rest of the body")

// beforeRead is called when a read of the body may wait.
func (u *upload) beforeRead() error {
	if u.stopped.Load() {
		return errStopped
	}
	return u.flush()
}

// classOfBody returns the class of an error to read a request's body.
func classOfBody(err error) class {
	var chunk fasthttp.ErrBrokenChunk
	switch {
	case cause.Timeout(err):
		return bodyTimeout
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return clientGone
	case errors.As(err, &chunk):
		return bodyBroken
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return clientGone
	}
	return bodyBroken
}
