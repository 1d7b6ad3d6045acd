package proxy

import (
	"net"
	"time"
)

// answerAndClose has the response that stands in ctx, streamed from x.answer
// or not, written as the last one on the client's connection, by a goroutine
// that takes it from fasthttp. That is for answers that fasthttp cannot write:
//
//   - to an HTTP/1.0 client, of unknown length: they end with the connection;
//   - while the request's body is still coming. fasthttp must not touch the
//     body then, and the upload must be stopped when the answer is complete.
//
// [Proxy.AwaitAnswers] waits for them: a listener does not know of connections
// that were taken from fasthttp.
func (x *exchange) answerAndClose() {
	x.ctx.Response.SetConnectionClose() // fasthttp looks at the body otherwise
	p := x.p                            // x is not ours any more when it is finished
	p.answers.Add(1)
	x.hijack(func(c net.Conn) {
		defer p.answers.Done()
		x.writeLast(c)
	}, func() {
		defer p.answers.Done()
		x.loseLast()
	})
}

// loseLast is writeLast for a client that is gone. fasthttp leaves ctx to us
// then too.
func (x *exchange) loseLast() {
	if x.uploading() {
		x.upload.stop(x.ctx.Conn())
	}
	if x.answer.body != nil {
		x.answer.release()
	}
	x.finish(clientGone)
}

// writeLast writes the last answer. fasthttp closes c when it returns.
func (x *exchange) writeLast(c net.Conn) {
	failed := ok
	streamed := x.answer.body != nil
	err := x.writeLastTo(c)
	if err != nil {
		failed = clientGone
		if streamed && x.answer.failed != ok {
			failed = x.answer.failed
		}
	}
	if failed == cut && x.answer.length < 0 && !x.ctx.Request.Header.IsHTTP11() {
		// Its end is that of the connection: a client that reads an orderly one
		// would take what it has for the whole.
		if own, ok := c.(interface{ UnsafeConn() net.Conn }).UnsafeConn().(interface{ Reset() }); ok {
			own.Reset()
		}
	}
	sending := x.upload != nil
	if x.uploading() {
		x.upload.stop(c)
	} else if sending && x.upload.clientFailed() {
		failed, x.why = x.upload.result, x.upload.why // what the backend made of it follows from that
	}
	if streamed {
		x.answer.release()
	}
	client := x.ctx.Conn() // which c hides: it can end one direction
	x.finish(failed)
	if sending && err == nil {
		_ = client.SetReadDeadline(time.Now().Add(lingerTime))
		linger(client)
	}
}

func (x *exchange) writeLastTo(c net.Conn) error {
	h := &x.ctx.Response.Header
	w := patientWriter{c, x.l.patience}
	write := func(p []byte) error {
		_, err := w.Write(p)
		return err
	}
	a := &x.answer
	if a.body == nil {
		body := x.ctx.Response.Body()
		skip := x.ctx.Response.SkipBody // fasthttp has set it for a HEAD by now
		if len(body) > 0 || !skip {
			h.SetContentLength(len(body))
		}
		if skip {
			body = nil
		}
		return write(append(h.AppendBytes(nil), body...))
	}
	chunked := a.length < 0 && x.ctx.Request.Header.IsHTTP11()
	if chunked {
		h.SetContentLength(-1)
	}
	if err := write(h.AppendBytes(nil)); err != nil {
		return err
	}
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	if !chunked {
		return a.copyTo(write, (*buf)[:copySize])
	}
	err := a.copyTo(func(p []byte) error {
		at := chunkHead((*buf)[:chunkRoom], len(p))
		end := chunkRoom + len(p)
		end += copy((*buf)[end:], "\r\n")
		return write((*buf)[at:end])
	}, (*buf)[chunkRoom:chunkRoom+copySize])
	if err != nil {
		return err
	}
	return write(append([]byte("0\r\n"), h.TrailerHeader()...))
}
