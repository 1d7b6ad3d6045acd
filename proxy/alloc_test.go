package proxy

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// browser is a request as browsers send them.
const browser = "GET /ws/lobby?room=7&name=x HTTP/1.1\r\n" +
	"Host: game.example.com\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Connection: keep-alive\r\n" +
	"Cookie: theme=dark; hf=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n" +
	"X-Forwarded-For: 1.1.1.1\r\n\r\n"

var plainAnswer = []byte("HTTP/1.1 200 OK\r\nServer: game\r\nDate: Sun, 22 Nov 2026 22:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")

// requestOf parses a request the way the server does.
func requestOf(t testing.TB, request string) *fasthttp.RequestCtx {
	t.Helper()
	ctx := &fasthttp.RequestCtx{}
	ctx.Init2(addressed{}, nil, false)
	ctx.Request.Header.DisableNormalizing()
	if err := ctx.Request.Header.Read(bufio.NewReaderSize(bytes.NewReader([]byte(request)), 16<<10)); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// addressed is a connection that has addresses and nothing else.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return client9 }
func (addressed) LocalAddr() net.Addr  { return client9 }

var client9 = net.TCPAddrFromAddrPort(netip.MustParseAddrPort("9.9.9.9:999"))

// policy is all that the proxy does to a request and its answer but reading,
// writing and picking.
type policy struct {
	ctx    *fasthttp.RequestCtx
	rt     *Runtime
	l      *listenerPolicy
	req    request
	query  balancer.Query
	keyBuf [16]byte
	out    []byte
	answer *bytes.Reader
	reader *bufio.Reader
	resp   fasthttp.ResponseHeader
}

func newPolicy(t testing.TB, trusted []string, sticky *config.Sticky) *policy {
	t.Helper()
	cfg := configOf("10.0.0.1:9000", "10.0.0.2:9000")
	cfg.Listeners[0].TrustedProxies = trusted
	cfg.Routes[0].Hosts, cfg.Routes[0].Path, cfg.Routes[0].StripPrefix = []string{"*.example.com"}, "/ws/", "/ws"
	pool := cfg.Pools["pool"]
	pool.Sticky, pool.HashKey = sticky, "query:room"
	cfg.Pools["pool"] = pool
	_, rt := compile(t, balancer.NewRegistry(), cfg)
	answer := bytes.NewReader(plainAnswer)
	p := &policy{ctx: requestOf(t, browser), rt: rt, l: rt.listener("web"), answer: answer, reader: bufio.NewReader(answer)}
	p.resp.DisableNormalizing()
	return p
}

func (p *policy) run(t testing.TB) {
	p.req.read(p.ctx, p.l)
	route := p.rt.router.find(p.req.host, p.req.path)
	if route == nil {
		t.Fatal("no route")
	}
	route.query(&p.query, balancer.Request, &p.req, &p.keyBuf)
	p.out = p.req.appendHead(p.out[:0], route, nil, nil, false, false)
	p.answer.Reset(plainAnswer)
	p.reader.Reset(p.answer)
	if err := p.resp.Read(p.reader); err != nil {
		t.Fatal(err)
	}
	cleanAnswer(&p.resp, nil)
}

func TestPolicyDoesNotAllocate(t *testing.T) {
	f := func(name string, trusted []string, sticky *config.Sticky) {
		t.Helper()
		p := newPolicy(t, trusted, sticky)
		p.run(t)
		if !bytes.HasPrefix(p.out, []byte("GET /lobby?room=7&name=x HTTP/1.1\r\nHost: game.example.com\r\n")) {
			t.Errorf("%s: %q", name, p.out)
		}
		if n := testing.AllocsPerRun(100, func() { p.run(t) }); n != 0 {
			t.Errorf("%s: %v allocations a request, want none", name, n)
		}
	}
	f("plain", nil, nil)
	f("behind a trusted proxy", []string{"9.0.0.0/8"}, nil)
	f("sticky by query", nil, &config.Sticky{By: "query", Name: "room", TTL: time.Hour, MaxEntries: 10})
	f("sticky by cookie", nil, &config.Sticky{By: "cookie", Name: "hf", TTL: time.Hour})
	f("sticky by token", nil, &config.Sticky{By: "token", Name: "X-Seat", TTL: time.Hour})
	f("sticky by source_ip", nil, &config.Sticky{By: "source_ip", TTL: time.Hour, MaxEntries: 10})
}

// TestHandlerDoesNotAllocate counts the whole handler, and the backend with it.
func TestHandlerDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	r := start(t, configOf(testkit.StartBackend(t, nil).Addr))
	handle := r.proxy.Handler("web")
	ctx := requestOf(t, browser)
	once := func() {
		handle(ctx)
		if ctx.Response.StatusCode() != 200 || string(ctx.Response.Body()) != "ok" {
			t.Fatalf("answered %d", ctx.Response.StatusCode())
		}
	}
	once()
	if n := testing.AllocsPerRun(500, once); n > 0 {
		t.Errorf("%v allocations a request, want none", n)
	}
}

func BenchmarkPolicy(b *testing.B) {
	p := newPolicy(b, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		p.run(b)
	}
}

func BenchmarkRequestHead(b *testing.B) {
	p := newPolicy(b, nil, nil)
	p.run(b)
	route := p.rt.routes[0]
	b.ReportAllocs()
	for b.Loop() {
		p.req.fields.parse(p.ctx.Request.Header.RawHeaders())
		p.out = p.req.appendHead(p.out[:0], route, nil, nil, false, false)
	}
}

func BenchmarkCleanAnswer(b *testing.B) {
	p := newPolicy(b, nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		p.answer.Reset(plainAnswer)
		p.reader.Reset(p.answer)
		if err := p.resp.Read(p.reader); err != nil {
			b.Fatal(err)
		}
		cleanAnswer(&p.resp, nil)
	}
}

func BenchmarkHandler(b *testing.B) {
	r := start(b, configOf(testkit.StartBackend(b, nil).Addr))
	handle := r.proxy.Handler("web")
	ctx := requestOf(b, browser)
	b.ReportAllocs()
	for b.Loop() {
		handle(ctx)
	}
}
