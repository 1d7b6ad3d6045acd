package proxy

import (
	"io"
	"time"

	"github.com/valyala/fasthttp"
)

// answer is the body of a backend's answer on its way to the client. fasthttp
// writes the header and then calls WriteTo and CloseWithError, in the handler's
// goroutine, after the handler has returned.
type answer struct {
	x    *exchange
	body io.Reader // decodes; nil: the answer is not streamed
	// decoder is where fasthttp keeps what it needs to decode a body: it reads
	// one from a bufio.Reader only on behalf of a Response.
	decoder  fasthttp.Response
	trailers fieldBlock
	reusable bool  // the backend's connection, if the body is read to its end
	length   int   // of the body; negative: unknown
	failed   class // what ended it early
	complete bool
}

// stream makes the rest of the backend's answer the body of ours. n is its
// length, -1 if it is chunked, -2 if it lasts as long as the connection.
func (x *exchange) stream(n int, reusable bool) {
	a := &x.answer
	a.x, a.reusable, a.length, a.failed, a.complete = x, reusable, n, ok, false
	a.decoder.Reset()
	a.decoder.StreamBody = true
	a.decoder.Header.DisableNormalizing()
	a.decoder.Header.SetContentLength(n)
	_ = a.decoder.ReadBody(x.reader, 0) // reads nothing yet
	a.body = a.decoder.BodyStream()

	if x.uploading() || n < 0 && !x.ctx.Request.Header.IsHTTP11() {
		x.answerAndClose()
		return
	}
	x.ctx.Response.SetBodyStream(a, max(n, -1))
	x.ctx.Response.ImmediateHeaderFlush = true
}

// Read reads the body, waiting at most the route's timeouts.body for some of
// it.
func (a *answer) Read(p []byte) (int, error) {
	if err := a.x.conn.readWithin(time.Now(), a.x.route.timeouts.Body); err != nil {
		return 0, err
	}
	return a.body.Read(p)
}

// SupportsBodyWriteTo makes fasthttp use WriteTo, so that what the backend
// sends is what the client gets, when it is sent.
func (a *answer) SupportsBodyWriteTo() bool { return true }

// WriteTo sends the body to the client. A body of known length does not go
// through w, which would hold back up to a buffer of it: its header is flushed
// by now, so it can follow on the connection itself.
func (a *answer) WriteTo(w io.Writer) (int64, error) {
	if a.length >= 0 {
		w = a.x.ctx.Conn()
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	err := a.copyTo(func(p []byte) error {
		_, err := w.Write(p)
		return err
	}, (*buf)[:copySize])
	return a.x.bytesOut, err
}

// copyTo passes the body on through buf, piece by piece as it comes, and
// remembers who failed.
func (a *answer) copyTo(write func([]byte) error, buf []byte) error {
	for {
		n, err := a.Read(buf)
		if n > 0 {
			if err := write(buf[:n]); err != nil {
				a.failed = clientGone
				return err
			}
			a.x.bytesOut += int64(n)
		}
		switch err {
		case nil:
		case io.EOF:
			if a.length == -1 {
				if a.x.conn.ended {
					// fasthttp takes the connection's end between two chunks
					// for the last chunk, which it would have found before.
					a.failed = cut
					return io.ErrUnexpectedEOF
				}
				a.passTrailers(&a.x.ctx.Response.Header)
			}
			a.complete = true
			return nil
		default:
			a.failed = cut
			return err
		}
	}
}

// passTrailers copies the trailer fields that came behind the last chunk, but
// for those that would not pass in a header either. fasthttp has refused those
// that must not stand there (RFC 9110, section 6.5.1).
func (a *answer) passTrailers(h *fasthttp.ResponseHeader) {
	section := a.decoder.Header.TrailerHeader()
	if len(section) <= len("\r\n") {
		return
	}
	a.trailers.parse(section)
	for i := range a.trailers.fields {
		f := &a.trailers.fields[i]
		if f.kind != plain {
			continue
		}
		name := a.trailers.nameOf(f)
		if h.AddTrailerBytes(name) == nil {
			h.AddBytesKV(name, a.trailers.valueOf(f))
		}
	}
}

// CloseWithError ends the answer: err is not nil if it could not be written.
// fasthttp then closes the client's connection, without the last chunk or the
// missing bytes, so the client can tell.
func (a *answer) CloseWithError(err error) error {
	x := a.x
	if err != nil && a.failed == ok {
		a.failed = clientGone
	}
	failed := a.failed
	a.release()
	x.finish(failed)
	return nil
}

// release gives back what the answer needed of the backend.
func (a *answer) release() {
	_ = a.decoder.CloseBodyStream()
	a.body = nil
	a.trailers.raw = nil
	a.x.settle(a.reusable && a.complete, time.Now())
	a.x.lease.Done()
	a.x = nil
}
