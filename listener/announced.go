package listener

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/holdfast-lb/holdfast/internal/explain"
)

// signatureV2 begins a header of version 2 of the PROXY protocol.
const signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"

const (
	// maxLineV1 bounds a header of version 1, its line end included.
	maxLineV1 = 107
	// fixedV2 is the part of a header of version 2 that tells its length.
	fixedV2 = 16
	// maxAnnouncement bounds a header, extensions included. Load balancers send
	// up to some hundred bytes, and a kilobyte or two with a client's
	// certificate.
	maxAnnouncement = fixedV2 + 4096
)

// announcements are buffers for headers.
var announcements = sync.Pool{New: func() any { return new([maxAnnouncement]byte) }}

var (
	errNoAnnouncement = errors.New("the connection does not begin with a PROXY header")
	errAnnouncement   = errors.New("malformed PROXY header")
	// errUnused ends a connection on which nothing came, such as a health check
	// that only connects.
	errUnused = errors.New("closed before a byte came")
)

func init() {
	// nginx writes so when its client and we speak different families.
	proxyproto.V1AcceptIPv4InTCP6 = true
	proxyproto.MaxV2HeaderSize = maxAnnouncement - fixedV2
}

// announcementLength returns how long the PROXY header is that b begins with,
// 0 if b does not tell yet. It fails if b begins with something else.
func announcementLength(b []byte) (int, error) {
	switch {
	case agrees(b, signatureV2):
		if len(b) < fixedV2 {
			return 0, nil
		}
		n := fixedV2 + int(binary.BigEndian.Uint16(b[fixedV2-2:]))
		if n > maxAnnouncement {
			return 0, fmt.Errorf("%w: %d bytes, %d at most", errAnnouncement, n, maxAnnouncement)
		}
		return n, nil
	case agrees(b, "PROXY "):
		if i := bytes.IndexByte(b[:min(len(b), maxLineV1)], '\n'); i >= 0 {
			return i + 1, nil
		}
		if len(b) >= maxLineV1 {
			return 0, fmt.Errorf("%w: no line end in %d bytes", errAnnouncement, maxLineV1)
		}
		return 0, nil
	}
	return 0, errNoAnnouncement
}

// agrees tells whether b and prefix are equal as far as both go.
func agrees(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

// parseAnnouncement reads a whole header. The source is nil if the header
// names none: the connection is the sender's own, it does not know, or its
// client has a Unix socket. To HAProxy, too, that is no address: a client
// without one would pass by all lists of addresses.
func parseAnnouncement(b []byte) (source net.Addr, err error) {
	// PROXY with no family is what HAProxy sends for what it cannot name.
	if agrees(b, signatureV2) && b[12] == byte(proxyproto.PROXY) && b[13] == byte(proxyproto.UNSPEC) {
		return nil, nil
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b), len(b)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errAnnouncement, err)
	case h.Command.IsLocal() || h.TransportProtocol.IsUnspec():
		return nil, nil
	}
	switch a := h.SourceAddr.(type) {
	case *net.TCPAddr:
		return tcpAddr(a.AddrPort()), nil
	case *net.UDPAddr:
		return tcpAddr(a.AddrPort()), nil
	case *net.UnixAddr:
		return nil, nil
	}
	return nil, fmt.Errorf("%w: no source address", errAnnouncement)
}

// tcpAddr returns an address with IPv4 within IPv6 as IPv4.
func tcpAddr(a netip.AddrPort) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
}

// readAnnouncement takes a PROXY header from nc, and not one byte more: what
// follows is TLS's or fasthttp's to read, or goes to the relay with the
// descriptor. It waits until the deadline that is set.
func readAnnouncement(nc net.Conn) (source net.Addr, err error) {
	buf := announcements.Get().(*[maxAnnouncement]byte)
	defer announcements.Put(buf)
	for have := 0; ; {
		n, err := peek(nc, buf[have:])
		switch {
		case err == io.EOF && have == 0:
			return nil, errUnused
		case err == io.EOF:
			return nil, fmt.Errorf("%w: closed within it", errAnnouncement)
		case err != nil:
			return nil, err
		}
		total, err := announcementLength(buf[:have+n])
		if err != nil {
			return nil, err
		}
		// What has been seen so far is part of the header, so it can be taken:
		// a wait is then for something new.
		took := n
		if total > 0 {
			took = min(n, total-have)
		}
		if _, err := io.ReadFull(nc, buf[have:have+took]); err != nil {
			return nil, err
		}
		if have += took; have == total {
			return parseAnnouncement(buf[:total])
		}
	}
}

// mustAnnounce tells whether connections from a must begin with a PROXY
// header: those from one of the networks of proxy_protocol.
func (st *settings) mustAnnounce(a net.Addr) bool {
	if len(st.announced) == 0 && !st.unixAnnounced {
		return false
	}
	if ip := addrOf(a); ip.IsValid() {
		return contains(st.announced, ip)
	}
	return st.unixAnnounced
}

// announce takes the PROXY header that c's source must open with, and books c
// under the client that it names. It reports whether c may be served; c is
// closed otherwise.
func (sk *socket) announce(c *Conn) bool {
	st := sk.settings.Load()
	var by time.Time
	if st.timeout.Header > 0 {
		by = sk.ledger.epoch.Add(c.waitFrom + st.timeout.Header)
	}
	err := c.armWait(by)
	if err == nil {
		c.remote, err = readAnnouncement(c.raw)
	}
	switch {
	case err == nil:
	case errors.Is(err, errUnused), sk.stopping.Load():
		c.Close()
		return false
	default:
		st.meter.Refused(RefusedProxyHeader)
		sk.opts.Reports.Report(&explain.Event{Code: codeProxyHeader, Listener: st.name, Client: c.client, Err: err})
		c.Close()
		return false
	}
	c.client = addrOf(c.RemoteAddr())
	if !sk.ledger.move(c, keyOf(c.client), st.limits.MaxConnectionsPerIP) {
		st.meter.Refused(RefusedMaxConnectionsPerIP)
		sk.opts.Reports.Report(&explain.Event{Code: refusalCodes[RefusedMaxConnectionsPerIP], Listener: st.name, Client: c.client})
		c.leave()
		sk.refuse(c.raw, RefusedMaxConnectionsPerIP)
		return false
	}
	return true
}
