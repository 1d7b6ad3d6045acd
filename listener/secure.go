package listener

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// acmeProtocol is what authorities speak that look for a certificate of their
// making: all is said with the handshake (RFC 8737, section 3).
const acmeProtocol = "acme-tls/1"

// clearText answers what is said in clear where TLS is expected.
var clearText = newWholeAnswer("400 Bad Request", "", codeClearText.String()+" bad request: this port speaks TLS, write https:// or wss:// in place of http:// or ws://\n")

// secureConn is a [Conn] as fasthttp is to see it when TLS lies on it.
type secureConn struct{ *Conn }

// Handshake implements fasthttp's idea of a TLS connection; it is done.
func (c secureConn) Handshake() error { return nil }

// ConnectionState implements fasthttp's idea of a TLS connection.
func (c secureConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// connOf returns the Conn that fasthttp calls nc.
func connOf(nc net.Conn) (*Conn, bool) {
	switch c := nc.(type) {
	case *Conn:
		return c, true
	case secureConn:
		return c.Conn, true
	}
	return nil, false
}

// TLS returns the TLS connection that lies on this one; nil: none. After Detach
// it is in its second life, and goes with the descriptor.
func (c *Conn) TLS() *tlsconn.Conn { return c.tls }

// seen is the connection as fasthttp is to see it.
func (c *Conn) seen() net.Conn {
	if c.tls != nil {
		return secureConn{c}
	}
	return c
}

// stream is what is read and written: raw, or the TLS that lies on it.
func (c *Conn) stream() net.Conn {
	if c.tls != nil {
		return c.tls
	}
	return c.raw
}

// secure does the TLS handshake of c, within timeouts.header from the accept,
// and reports whether c may be served; c is closed otherwise.
func (sk *socket) secure(c *Conn, cfg *tls.Config) bool {
	st := sk.settings.Load()
	var by time.Time
	if st.timeout.Header > 0 {
		by = sk.ledger.epoch.Add(c.waitFrom + st.timeout.Header)
	}
	t := tlsconn.Server(c.raw, cfg)
	err := errors.Join(c.raw.SetWriteDeadline(by), c.armWait(by))
	if err == nil {
		err = t.Shake(by)
	}
	if err == nil && t.ConnectionState().NegotiatedProtocol != acmeProtocol {
		c.tls = t
		c.raw.SetWriteDeadline(time.Time{})
		return true
	}
	if wrong, ok := errors.AsType[tls.RecordHeaderError](err); ok && wrong.Conn != nil && isHTTP(wrong.RecordHeader[:]) {
		sk.opts.Reports.Report(&explain.Event{Code: codeClearText, Listener: st.name, Client: c.client})
		c.raw.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = c.raw.Write(clearText.now())
		c.lingers = true
	} else if err != nil {
		sk.log.Debug("TLS handshake failed", "listener", st.name, "client", c.client, "error", err)
	}
	c.Close()
	return false
}

// isHTTP tells whether a connection has begun with the method of a request.
func isHTTP(b []byte) bool {
	for _, method := range []string{"GET /", "HEAD ", "POST ", "PUT /", "PUT h", "DELET", "OPTIO", "PATCH", "TRACE", "CONNE", "GET h"} {
		if bytes.Equal(b, []byte(method)) {
			return true
		}
	}
	return false
}
