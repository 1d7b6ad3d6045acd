//go:build unix

package listener

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// v2 is a header of version 2 with this command, family and content.
func v2(command, family byte, content string) string {
	b := append([]byte(signatureV2), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(content)))
	return string(b) + content
}

// Contents of headers of version 2, from port 1000 to 2000.
const (
	fromIPv4 = "\xcb\x00\x71\x07\x0a\x00\x00\x01\x03\xe8\x07\xd0"
	fromIPv6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x03\xe8\x07\xd0"
	fromMapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x07" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01\x03\xe8\x07\xd0"
)

// whoAsks answers with the client as the listener and as fasthttp see it.
func whoAsks(ctx *fasthttp.RequestCtx) {
	fmt.Fprintf(ctx, "%v %v", ctx.Conn().(*Conn).client, ctx.RemoteAddr())
}

// announced is web with proxy_protocol.
func announced(networks ...string) config.Listener {
	l := web()
	l.ProxyProtocol = networks
	return l
}

// ask sends text and then a request, and returns the answer's body.
func ask(t *testing.T, c *testkit.TCP, text string) string {
	t.Helper()
	c.Send(text + "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp := c.ReadResponse(5 * time.Second)
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, %s", resp.StatusCode, body)
	}
	return string(body)
}

func TestAnnouncements(t *testing.T) {
	opts, meterOf := metered(whoAsks)
	_, address := serve(t, opts, announced("127.0.0.0/8"))
	f := func(name, header, want string) {
		t.Helper()
		for _, size := range []int{len(header), 1 + len(header)/10, 1 + len(header)/60} { // at once, and in pieces
			c := testkit.DialTCP(t, address)
			c.SendSplit([]byte(header), size, time.Millisecond)
			own := strings.ReplaceAll(want, "own", c.LocalAddr().String())
			if got := ask(t, c, ""); got != own {
				t.Errorf("%s in pieces of %d: %q, want %q", name, size, got, own)
			}
			if got := ask(t, c, ""); got != own { // the header was that of the connection
				t.Errorf("%s, second request: %q, want %q", name, got, own)
			}
		}
	}
	const ipv4, ipv6, none = "203.0.113.7 203.0.113.7:1000", "2001:db8::7 [2001:db8::7]:1000", "127.0.0.1 own"
	f("version 1, IPv4", "PROXY TCP4 203.0.113.7 10.0.0.1 1000 2000\r\n", ipv4)
	f("version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 1000 2000\r\n", ipv6)
	f("version 1, mapped", "PROXY TCP6 ::ffff:203.0.113.7 ::ffff:10.0.0.1 1000 2000\r\n", ipv4)
	f("version 1, IPv4 as nginx writes it", "PROXY TCP6 203.0.113.7 2001:db8::1 1000 2000\r\n", ipv4)
	f("version 1, unknown", "PROXY UNKNOWN\r\n", none)
	f("version 1, unknown with addresses", "PROXY UNKNOWN 203.0.113.7 10.0.0.1 1000 2000\r\n", none)
	f("version 2, IPv4", v2(0x21, 0x11, fromIPv4), ipv4)
	f("version 2, IPv6", v2(0x21, 0x21, fromIPv6), ipv6)
	f("version 2, mapped", v2(0x21, 0x21, fromMapped), ipv4)
	f("version 2, datagrams", v2(0x21, 0x12, fromIPv4), ipv4)
	f("version 2, extensions", v2(0x21, 0x11, fromIPv4+"\x03\x00\x04\xde\xad\xbe\xef\xea\x00\x02hi"), ipv4)
	f("version 2, malformed extensions", v2(0x21, 0x11, fromIPv4+"\x03\xff"), ipv4)
	f("version 2, as long as may be", v2(0x21, 0x11, fromIPv4+strings.Repeat("x", maxAnnouncement-fixedV2-len(fromIPv4))), ipv4)
	f("version 2, local", v2(0x20, 0x00, ""), none)
	f("version 2, local with an address", v2(0x20, 0x11, fromIPv4), none)
	f("version 2, no family", v2(0x21, 0x00, ""), none)
	f("version 2, no family, extensions", v2(0x21, 0x00, "\x03\x00\x01x"), none)
	f("version 2, Unix", v2(0x21, 0x31, strings.Repeat("\x00", 216)), none)
	f("version 2, Unix, named", v2(0x21, 0x31, "/run/x"+strings.Repeat("\x00", 210)), none)
	f("version 2, Unix, datagrams", v2(0x21, 0x32, strings.Repeat("\x00", 216)), none)
	if n := meterOf("web").refused[RefusedProxyHeader].Load(); n != 0 {
		t.Errorf("%d refused", n)
	}
}

// What does not begin with a header is closed without a word, counted, and
// told once.
func TestNoAnnouncement(t *testing.T) {
	opts, meterOf := metered(whoAsks)
	log := new(testkit.Log)
	opts.Reports = explain.NewReporter(slog.New(slog.NewTextHandler(log, nil)), time.Hour)
	_, address := serve(t, opts, announced("127.0.0.1"))
	count := &meterOf("web").refused[RefusedProxyHeader]
	f := func(name, text string) {
		t.Helper()
		before := count.Load()
		c := testkit.DialTCP(t, address)
		c.Send(text)
		_ = c.CloseWrite()
		c.ExpectClosed(5 * time.Second)
		testkit.Eventually(t, 10*time.Second, func() bool { return count.Load() == before+1 }, name+" is counted")
	}
	f("a request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	f("TLS", "\x16\x03\x01\x02\x00\x01")
	f("a byte", "G")
	f("half a header", "PROXY TCP4 203.0.113.7")
	f("half a signature", signatureV2[:7])
	f("a long line", "PROXY "+strings.Repeat("x", 200))
	f("another word", "PROXYTCP4 203.0.113.7 10.0.0.1 1000 2000\r\n")
	f("another family", "PROXY UDP4 203.0.113.7 10.0.0.1 1000 2000\r\n")
	f("no address", "PROXY TCP4 game.example 10.0.0.1 1000 2000\r\n")
	f("a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1000 2000\r\n")
	f("no CR", "PROXY TCP4 203.0.113.7 10.0.0.1 1000 2000\n")
	f("version 3", v2(0x31, 0x11, fromIPv4))
	f("another command", v2(0x22, 0x11, fromIPv4))
	f("another family of version 2", v2(0x21, 0x41, fromIPv4))
	f("an address cut short", v2(0x21, 0x11, fromIPv4[:11]))
	f("too long", v2(0x21, 0x11, strings.Repeat("x", maxAnnouncement-fixedV2+1)))
	f("shorter than it says", v2(0x21, 0x11, fromIPv4)[:20])
	opts.Reports.Close()
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "code=HF-4007 reason=proxy_header listener=web client=127.0.0.1 error=\"the connection does not") ||
		!strings.Contains(text, fmt.Sprintf("repeated=%d", count.Load()-1)) {
		t.Errorf("logged:\n%s", text)
	}

	// A check that only connects is no mistake.
	before := count.Load()
	c := testkit.DialTCP(t, address)
	_ = c.CloseWrite()
	c.ExpectEOF(5 * time.Second)
	if n := count.Load() - before; n != 0 {
		t.Errorf("a connection without a byte is counted %d times", n)
	}
}

// A header that does not come is waited for as long as for a request's.
func TestSlowAnnouncement(t *testing.T) {
	l := announced("127.0.0.1")
	l.Timeouts.Header = 100 * time.Millisecond
	opts, meterOf := metered(whoAsks)
	_, address := serve(t, opts, l)
	c := testkit.DialTCP(t, address)
	c.Send("PROXY TC")
	c.ExpectClosed(5 * time.Second)
	testkit.Eventually(t, 10*time.Second, func() bool { return meterOf("web").refused[RefusedProxyHeader].Load() == 1 }, "it is counted")
	testkit.Eventually(t, 10*time.Second, func() bool { return meterOf("web").opened() == 0 }, "it counts as open no more")
}

// Sources that are not listed are served as they are, and cannot say that they
// are somebody else.
func TestUnlistedSources(t *testing.T) {
	opts, meterOf := metered(whoAsks)
	_, address := serve(t, opts, announced("10.0.0.0/8", "fd00::/8"))
	c := testkit.DialTCP(t, address)
	if got, want := ask(t, c, ""), "127.0.0.1 "+c.LocalAddr().String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	c = testkit.DialTCP(t, address)
	c.Send("PROXY TCP4 203.0.113.7 10.0.0.1 1000 2000\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := c.ReadResponse(5 * time.Second); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d for a header of an unlisted source", resp.StatusCode)
	}
	if n := meterOf("web").refused[RefusedProxyHeader].Load(); n != 0 {
		t.Errorf("%d refused", n)
	}
}

// Limits per address count those that are announced, not who announces them.
func TestLimitsOfAnnounced(t *testing.T) {
	l := announced("127.0.0.1")
	l.Limits.MaxConnectionsPerIP = 2
	l.Limits.MaxConnections = 5
	opts, meterOf := metered(whoAsks)
	_, address := serve(t, opts, l)
	dial := func(ip string) *testkit.TCP {
		c := testkit.DialTCP(t, address)
		c.Send("PROXY TCP4 " + ip + " 10.0.0.1 1000 2000\r\n")
		return c
	}
	for _, ip := range []string{"192.0.2.1", "192.0.2.1", "192.0.2.2"} {
		if got := ask(t, dial(ip), ""); got != ip+" "+ip+":1000" {
			t.Errorf("%q", got)
		}
	}
	third := dial("192.0.2.1")
	third.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := third.ReadResponse(5 * time.Second); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("status %d for a third connection", resp.StatusCode)
	}
	m := meterOf("web")
	testkit.Eventually(t, 10*time.Second, func() bool { return m.opened() == 3 }, "the refused one does not count")

	// In all, also those count that have said nothing yet.
	for range 2 {
		testkit.DialTCP(t, address)
	}
	testkit.Eventually(t, 10*time.Second, func() bool { return m.opened() == 5 }, "silent ones count")
	sixth := dial("192.0.2.3")
	sixth.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := sixth.ReadResponse(5 * time.Second); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d for a sixth connection", resp.StatusCode)
	}
}

// One that says nothing holds up neither the accepts of others nor a stop.
func TestAnnouncementsHoldUpNobody(t *testing.T) {
	s := New(options(whoAsks))
	change(t, s, announced("127.0.0.1"))
	address := s.Addr("web").String()
	silent := testkit.DialTCP(t, address)
	silent.Send("PROXY ")
	if got := ask(t, testkit.DialTCP(t, address), "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n"); got != "192.0.2.1 192.0.2.1:1" {
		t.Errorf("%q", got)
	}
	shutdown(t, s) // within its time, although the header's is longer
	silent.ExpectClosed(5 * time.Second)
}

// A Unix socket has clients of one kind.
func TestAnnouncementsOnUnixSocket(t *testing.T) {
	l := announced(config.UnixClients)
	l.Address = "unix:" + filepath.Join(t.TempDir(), "s")
	_, address := serve(t, options(whoAsks), l)
	c, err := net.Dial("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "PROXY TCP6 2001:db8::7 2001:db8::1 1000 2000\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(answer), "\r\n\r\n2001:db8::7 [2001:db8::7]:1000") {
		t.Errorf("%q, %v", answer, err)
	}
}

// The handover of a descriptor works behind a header, with nothing lost.
func TestDetachAnnounced(t *testing.T) {
	got := make(chan detached, 1)
	_, address := serve(t, options(detacher(t, got)), announced("127.0.0.1"))
	c := testkit.DialTCP(t, address)
	c.Send(v2(0x21, 0x11, fromIPv4) + upgrade + "early")
	d := <-got
	defer sys.Close(d.fd)
	defer d.place.Leave()
	if d.early != "early" || !errors.Is(d.err, ErrDetached) {
		t.Errorf("read %q, then %v", d.early, d.err)
	}
	c.Send("later")
	b := make([]byte, 16)
	testkit.Eventually(t, 10*time.Second, func() bool {
		n, _ := sys.Peek(d.fd, b)
		return string(b[:max(n, 0)]) == "later"
	}, "what comes later is there")
}

// A reload changes who must announce.
func TestReloadOfProxyProtocol(t *testing.T) {
	s, address := serve(t, options(whoAsks), announced("127.0.0.1"))
	open := testkit.DialTCP(t, address)
	if got := ask(t, open, "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n"); got != "192.0.2.1 192.0.2.1:1" {
		t.Errorf("%q", got)
	}
	change(t, s, web())
	c := testkit.DialTCP(t, address)
	if got := ask(t, c, ""); got != "127.0.0.1 "+c.LocalAddr().String() {
		t.Errorf("%q", got)
	}
	if got := ask(t, open, ""); got != "192.0.2.1 192.0.2.1:1" {
		t.Errorf("the connection from before is of %q now", got)
	}
}

// replayed is a connection of which each Read and peek gives a piece of data.
type replayed struct {
	net.Conn
	data  []byte
	piece int
}

func (r *replayed) peek(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	return copy(p, r.data[:min(len(r.data), r.piece)]), nil
}

func (r *replayed) Read(p []byte) (int, error) {
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// FuzzAnnouncement: whatever a source sends, in pieces of whatever size, is
// either a header that is taken to its last byte and no further, or a mistake.
// The library agrees on the header and its address.
func FuzzAnnouncement(f *testing.F) {
	for _, s := range []string{
		"", "P", "PROXY UNKNOWN\r\nrest", "PROXY TCP4 203.0.113.7 10.0.0.1 1000 2000\r\nGET / HTTP/1.1\r\n", "PROXY TCP6 ::1 ::1 1 2\r\n",
		v2(0x21, 0x11, fromIPv4) + "rest", v2(0x21, 0x21, fromIPv6), v2(0x20, 0, ""), v2(0x21, 0, "x"), v2(0x21, 0x31, strings.Repeat("a", 216)),
	} {
		f.Add([]byte(s), uint16(1))
		f.Add([]byte(s), uint16(4096))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		c := &replayed{data: bytes.Clone(data), piece: max(int(piece), 1)}
		source, err := readAnnouncement(c)
		whole := &replayed{data: bytes.Clone(data), piece: len(data) + 1}
		again, errAgain := readAnnouncement(whole)
		if (err == nil) != (errAgain == nil) || fmt.Sprint(source) != fmt.Sprint(again) || err == nil && len(c.data) != len(whole.data) {
			t.Fatalf("in pieces %v, %v; at once %v, %v", source, err, again, errAgain)
		}
		if err != nil {
			return
		}
		taken := data[:len(data)-len(c.data)]
		if n, err := announcementLength(taken); err != nil || n != len(taken) {
			t.Fatalf("took %d bytes of a header of %d, %v", len(taken), n, err)
		}
		if tcp, ok := source.(*net.TCPAddr); ok && !addrOf(tcp).IsValid() {
			t.Fatalf("the source is %v", source)
		}
		if bytes.HasPrefix(taken, []byte(signatureV2+"\x21\x00")) {
			return // which the library refuses
		}
		r := bufio.NewReaderSize(bytes.NewReader(data), len(data))
		h, err := proxyproto.Read(r)
		if err != nil || len(data)-r.Buffered() != len(taken) {
			t.Fatalf("took %d bytes, the library %d, %v", len(taken), len(data)-r.Buffered(), err)
		}
		if got := addrOf(source).String(); !h.Command.IsLocal() && h.TransportProtocol != proxyproto.UnixStream && h.TransportProtocol != proxyproto.UnixDatagram {
			ip, _, _ := h.IPs()
			if want, _ := netip.AddrFromSlice(ip); got != want.Unmap().String() {
				t.Fatalf("the source is %s, for the library %v", got, want)
			}
		}
	})
}

// A listener that is bound to every address knows which one a client has
// connected to, outside of Go's poller and in it.
func TestLocalAddrOfWildcard(t *testing.T) {
	l := web()
	l.Address = ":0"
	s, _ := serve(t, options(func(ctx *fasthttp.RequestCtx) { fmt.Fprint(ctx, ctx.LocalAddr()) }), l)
	_, port, _ := net.SplitHostPort(s.Addr("web").String())
	c := testkit.DialTCP(t, "127.0.0.1:"+port)
	for range 3 {
		if got := ask(t, c, ""); got != "127.0.0.1:"+port {
			t.Errorf("%s, want port %s of 127.0.0.1", got, port)
		}
	}
}
