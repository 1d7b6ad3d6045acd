package listener

import (
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

const (
	// maxFarewells bounds the refused connections, per listener, that are held
	// open for a moment so that their clients can read why.
	maxFarewells = 64
	// requestWait is how long such a client may take to send its request: many
	// clients discard an answer that comes before it.
	requestWait = 250 * time.Millisecond
	// lingerTime is how long a connection is kept for its client to read an
	// answer that came before the client had sent all. A socket closed while
	// bytes wait in it is reset, and the reset can overtake the answer.
	lingerTime = 500 * time.Millisecond
)

// What the listener answers and reports by itself.
var (
	codeBadRequest     = explain.Named("bad_request")
	codeHeaderTooLarge = explain.Named("header_too_large")
	codeHeaderTimeout  = explain.Named("header_timeout")
	codeBodyTimeout    = explain.Named("body_timeout")
	codeBodyTooLarge   = explain.Named("body_too_large")
	codePanicked       = explain.Named("panicked")
	codeAcceptFailed   = explain.Named("accept_failed")
	codeClearText      = explain.Named("clear_text")
	codeRecord         = explain.Named("tls_record")
	codeProxyHeader    = explain.Named("proxy_header")
)

// refusalCodes are those of refused connections.
var refusalCodes = [...]explain.Code{
	RefusedMaxConnections:      explain.Named("max_connections"),
	RefusedMaxConnectionsPerIP: explain.Named("max_connections_per_ip"),
	RefusedDescriptors:         explain.Named("overloaded"),
	RefusedMemory:              explain.Named("memory_short"),
}

// refusals are the whole answers to refused connections.
var refusals = [...]wholeAnswer{
	RefusedMaxConnections:      refusal("503 Service Unavailable", refusalCodes[RefusedMaxConnections].String()+" service unavailable: the listener is at max_connections, try again later\n"),
	RefusedMaxConnectionsPerIP: refusal("429 Too Many Requests", refusalCodes[RefusedMaxConnectionsPerIP].String()+" too many requests: this address is at max_connections_per_ip, close a connection first\n"),
	RefusedDescriptors:         refusal("503 Service Unavailable", refusalCodes[RefusedDescriptors].String()+" service unavailable: too many connections are open, try again later\n"),
	RefusedMemory:              refusal("503 Service Unavailable", refusalCodes[RefusedMemory].String()+" service unavailable: the server is short of memory, try again later\n"),
}

func refusal(status, body string) wholeAnswer {
	return newWholeAnswer(status, "Retry-After: 1\r\n", body)
}

// wholeAnswer is an answer of one line that ends its connection, but for its
// Date, whose value comes behind the first part.
type wholeAnswer [2]string

func newWholeAnswer(status, fields, body string) wholeAnswer {
	return wholeAnswer{"HTTP/1.1 " + status + "\r\nDate: ", "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\n" + fields + "Connection: close\r\n\r\n" + body}
}

// now returns the answer with its Date (RFC 9110, section 6.6.1).
func (a wholeAnswer) now() []byte {
	b := append(make([]byte, 0, 512), a[0]...)
	return append(fasthttp.AppendHTTPDate(b, time.Now()), a[1]...)
}

// refuse answers and closes nc without blocking. As long as there are slots it
// leaves the client a moment to send its request and to read the answer; in a
// flood, the answer is sent at once and the connection closed behind it, or
// closed without one where TLS would have to come first.
func (sk *socket) refuse(nc net.Conn, why Refusal) {
	cfg := sk.settings.Load().tls
	slots := sk.farewells
	if why == RefusedDescriptors {
		slots = nil // each would hold one
	}
	select {
	case slots <- struct{}{}:
		sk.serving.Add(1)
		go sk.farewell(nc, cfg, refusals[why].now())
	default:
		if cfg == nil {
			// The send buffer of a new connection is empty and takes this whole.
			nc.SetWriteDeadline(time.Now().Add(time.Millisecond))
			nc.Write(refusals[why].now())
		}
		nc.Close()
	}
}

// farewell is refuse with time on its hands.
func (sk *socket) farewell(nc net.Conn, cfg *tls.Config, answer []byte) {
	defer sk.serving.Done()
	defer func() { <-sk.farewells }()
	defer nc.Close()
	if cfg != nil {
		by := time.Now().Add(lingerTime)
		nc.SetDeadline(by)
		t := tlsconn.Server(nc, cfg)
		if t.Shake(by) != nil {
			return
		}
		nc = t
	}
	nc.SetReadDeadline(time.Now().Add(requestWait))
	var first [1]byte
	nc.Read(first[:])
	nc.SetWriteDeadline(time.Now().Add(lingerTime))
	if _, err := nc.Write(answer); err == nil {
		linger(nc)
	}
}

// linger ends the sending side of nc and discards what still comes, until the
// client has closed too or [lingerTime] has passed.
func linger(nc net.Conn) {
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	nc.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, nc)
}
