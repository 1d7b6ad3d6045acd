package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/cause"
)

// maxInterim bounds the 1xx answers before the final one.
const maxInterim = 16

// try makes one attempt at one backend. When it fails, the backend's
// connection is closed and x.sent and x.answered tell how far it came.
func (x *exchange) try(b *balancer.Backend, now time.Time) class {
	x.up = x.rt.upstreams[b]
	for again := false; ; again = true {
		x.sent, x.answered, x.why = false, false, nil
		c, err := x.up.acquire(x.route.timeouts.Connect, x.preface())
		if err != nil {
			x.why = err
			return classOfDial(err)
		}
		x.conn = c
		failed := x.exchangeOn(c, b, now)
		if failed == ok {
			return ok
		}
		x.drop()
		if again || failed != broken || !c.used || !x.mayRetry(failed) {
			return failed
		}
		// The backend has closed the connection while it was idle, which is
		// no failure of the backend's.
	}
}

// drop closes the attempt's connection and gives back what was read with. An
// upload over it fails for that.
func (x *exchange) drop() {
	x.returnReader()
	x.conn.Close()
	x.conn = nil
}

// settle gives the attempt's connection back if it can carry another request,
// which needs both messages to have ended, and closes it otherwise.
func (x *exchange) settle(reusable bool, now time.Time) {
	if !reusable || x.reader.Buffered() > 0 || !x.uploaded() || !x.conn.clean() {
		x.drop()
		return
	}
	x.returnReader()
	x.up.release(x.conn, now)
	x.conn = nil
}

func (x *exchange) returnReader() {
	if x.reader != nil {
		x.reader.Reset(nil)
		readers.Put(x.reader)
		x.reader = nil
	}
}

// exchangeOn sends the request over c and reads the answer, its body included
// if that has come already or is empty. Otherwise x.answer streams it.
func (x *exchange) exchangeOn(c *backendConn, b *balancer.Backend, now time.Time) class {
	if failed := x.send(c, now); failed != ok {
		return failed
	}
	resp := &x.ctx.Response
	if failed := x.readHead(c, resp); failed != ok {
		return failed
	}
	if x.upload != nil {
		x.upload.takeOver()
		c.readBy = past // whatever the upload has set
	}
	reusable := cleanAnswer(&resp.Header, &x.said)
	if x.route.shape != nil {
		f := x.facts()
		x.head = x.route.shape.answer(&resp.Header, &f, x.head)
	}
	if c := x.route.carrier; c != nil && x.query.StickyBackend != b.StickyID() {
		x.head = c.tell(&resp.Header, b, x.req.proto == "https", x.head)
	}
	n := resp.Header.ContentLength()
	switch {
	case hasNoBody(x.req.method, resp.StatusCode()):
		n = 0
		resp.SkipBody = true
	case n > 0 && n <= x.reader.Buffered():
		body, _ := x.reader.Peek(n) // is there: no error
		resp.SetBody(body)
		_, _ = x.reader.Discard(n)
	case n != 0:
		x.stream(n, reusable)
		return ok
	}
	x.bytesOut = int64(n)
	x.settle(reusable, time.Now())
	x.lease.Done()
	return ok
}

// send writes the request, or begins to if its body is streamed.
func (x *exchange) send(c *backendConn, now time.Time) class {
	streams := x.streams()
	chunked := x.ctx.Request.Header.ContentLength() == -1
	if streams && !chunked {
		if failed := x.gather(); failed != ok {
			return failed
		}
	}
	var f *facts
	if x.route.shape != nil {
		known := x.facts()
		f = &known
	}
	x.head = x.req.appendHead(x.head[:0], x.route, x.up.authority, f, chunked, false)
	x.head = append(x.head, x.body...)
	x.out, x.in = c.out, c.in
	err := c.writeWithin(now, x.route.timeouts.Response)
	switch {
	case err != nil:
	case x.early != nil:
		err = x.sendEarly(c)
		if err == nil && x.whole {
			err = c.readWithin(time.Now(), x.route.timeouts.Response)
		}
	case streams:
		if _, err = c.Write(x.head); err == nil {
			x.startUpload(c, chunked, nil)
		}
	default:
		c.writeBeforeRead(x.head)
		err = c.readWithin(now, x.route.timeouts.Response)
	}
	if err != nil {
		return x.classOfBroken(err)
	}
	return ok
}

// readHead reads the header of the final answer into resp.
func (x *exchange) readHead(c *backendConn, resp *fasthttp.Response) class {
	x.reader = readers.Get().(*bufio.Reader)
	x.reader.Reset(c)
	resp.Header.DisableNormalizing()
	resp.Header.SetNoDefaultContentType(true)
	for range maxInterim {
		head, err := peekHead(x.reader)
		if err != nil {
			return x.classOfBroken(err)
		}
		status, sound := x.said.judgeAnswer(head)
		switch {
		case !sound:
			return x.doubts(errDoubtful)
		case status == fasthttp.StatusSwitchingProtocols:
			return x.doubts(errUnasked)
		}
		if status >= 200 && x.said.get("date") == nil {
			dated(&resp.Header)
			resp.Header.DisableNormalizing()
		}
		if err := resp.Header.Read(x.reader); err != nil {
			return x.doubts(err)
		}
		if status >= 200 {
			return ok
		}
	}
	return x.doubts(errInterim)
}

// What is wrong with a backend's header, beside what fasthttp says.
var (
	errDoubtful = errors.New("its header can be read in more than one way: RFC 9112, sections 2.2, 4, 5 and 6.3")
	errUnasked  = errors.New("101 though nobody asked to switch")
	errInterim  = fmt.Errorf("more than %d interim answers", maxInterim)
)

// doubts notes why an answer is not believed.
func (x *exchange) doubts(err error) class {
	if x.upload != nil {
		x.upload.takeOver()
	}
	x.sent, x.answered, x.why = true, true, err
	return badAnswer
}

// classOfBroken returns why no header came, and notes how far the attempt got.
func (x *exchange) classOfBroken(err error) class {
	x.why = err
	x.answered = x.conn.in > x.in
	if x.upload != nil {
		x.upload.takeOver()
		x.sent = true // and conn.out is the upload's
	} else {
		x.sent = x.conn.out > x.out
	}
	switch {
	case x.upload != nil && !x.uploading() && x.upload.result != ok && !x.answered:
		x.why = x.upload.why
		return x.upload.result // that is why there was nothing to read
	case cause.Timeout(err):
		return late
	case x.answered:
		return badAnswer
	}
	if alert := x.conn.refusal(err); alert != nil {
		x.why = alert
		return noTLS
	}
	return broken
}

// hasNoBody tells whether an answer ends with its header, whatever that says
// (RFC 9112, section 6.3).
func hasNoBody(method []byte, status int) bool {
	return status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified ||
		string(method) == fasthttp.MethodHead
}
