package proxy

import (
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/config"
)

// carrierOf compiles a pool of two backends whose clients carry what ties them.
func carrierOf(t testing.TB, by string) (*carrier, []*balancer.Backend) {
	t.Helper()
	cfg := configOf("10.0.0.1:9000", "10.0.0.2:9000")
	pool := cfg.Pools["pool"]
	pool.Sticky = &config.Sticky{By: by, Name: "X-Seat", Secret: "0123456789abcdef"}
	cfg.Pools["pool"] = pool
	pools, rt := compile(t, balancer.NewRegistry(), cfg)
	return rt.routes[0].carrier, pools.Pool("pool").Backends()
}

// A token is found wherever the client shows it, and the first good one counts.
func TestTokenShown(t *testing.T) {
	c, backends := carrierOf(t, "token")
	first, second := c.sticky.Encode(backends[0]), c.sticky.Encode(backends[1])
	forged := "A" + first[1:]
	if forged == first {
		forged = "B" + first[1:]
	}
	f := func(name, query, lines string, want *balancer.Backend) {
		t.Helper()
		var r request
		r.setTarget([]byte("/play?" + query))
		r.fields.parse([]byte(lines))
		id := uint64(0)
		if want != nil {
			id = want.StickyID()
		}
		if got := c.shown(&r); got != id {
			t.Errorf("%s: %#x, want %#x", name, got, id)
		}
	}
	const offer = "Sec-WebSocket-Protocol: "
	f("nowhere", "", "", nil)
	f("header", "", "x-seat: "+first+"\r\n", backends[0])
	f("query", "a=1&X-Seat="+first, "", backends[0])
	f("query, whose names have a case", "x-seat="+first, "", nil)
	f("subprotocol", "", offer+"game.v1, X-Seat."+first+"\r\n", backends[0])
	f("subprotocol in a second line", "", offer+"game.v1\r\n"+offer+"X-Seat."+first+"\r\n", backends[0])
	f("subprotocol that merely begins so", "", offer+"X-Seats."+first+", X-Seat, X-Seat., X-Seat"+first+"\r\n", nil)
	f("subprotocols, whose names have a case", "", offer+"x-seat."+first+"\r\n", nil)
	f("forged", "X-Seat="+forged, "X-Seat: "+forged+"\r\n"+offer+"X-Seat."+forged+"\r\n", nil)
	f("cookie", "", "Cookie: X-Seat="+first+"\r\n", nil)
	f("header before query", "X-Seat="+second, "X-Seat: "+first+"\r\n", backends[0])
	f("query before subprotocol", "X-Seat="+second, offer+"X-Seat."+first+"\r\n", backends[1])
	f("a forged one hides no good one", "X-Seat="+forged, "X-Seat: x\r\n"+offer+"X-Seat."+second+"\r\n", backends[1])
}

// What an answer tells is what a client has to show, in a 101 as in others.
func TestTokenTold(t *testing.T) {
	c, backends := carrierOf(t, "token")
	for _, b := range backends {
		var h fasthttp.ResponseHeader
		h.Set("X-Seat", "what a backend says")
		c.tell(&h, b, true, nil)
		line := string(c.appendLine(nil, b, true))
		if want := "X-Seat: " + string(h.Peek("X-Seat")) + "\r\n"; line != want || strings.Count(h.String(), "X-Seat") != 1 {
			t.Errorf("the 101 has %q, another answer %q", line, h.String())
		}
		var r request
		r.fields.parse([]byte(line))
		if got := c.shown(&r); got != b.StickyID() || got == 0 {
			t.Errorf("%q stands for %#x, want %#x", line, got, b.StickyID())
		}
	}
}

func TestCookieTold(t *testing.T) {
	c, backends := carrierOf(t, "cookie")
	value := c.sticky.Encode(backends[0])
	var h fasthttp.ResponseHeader
	c.tell(&h, backends[0], false, nil)
	want := "X-Seat=" + value + "; Path=/; HttpOnly; SameSite=Lax"
	if got := h.String(); !strings.Contains(got, "Set-Cookie: "+want+"\r\n") {
		t.Errorf("the answer has %q, want the cookie %q", got, want)
	}
	if got := string(c.appendLine(nil, backends[0], true)); got != "Set-Cookie: "+want+"; Secure\r\n" {
		t.Errorf("the 101 has %q, want the cookie %q, Secure", got, want)
	}
	var r request
	r.fields.parse([]byte("X-Seat: " + value + "\r\nCookie: a=1; X-Seat=" + value + "\r\n"))
	if got := c.shown(&r); got != backends[0].StickyID() {
		t.Errorf("the cookie stands for %#x, want %#x", got, backends[0].StickyID())
	}
}

// FuzzCarrier: whatever is shown, only what was signed for the pool counts.
func FuzzCarrier(f *testing.F) {
	c, backends := carrierOf(f, "token")
	good := c.sticky.Encode(backends[0])
	for _, s := range []string{"", "X-Seat." + good, "a,X-Seat." + good + " ,b", "X-Seat." + good[:31], "X-Seat." + good + "A", "X-Seat..", ",,X-Seat"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\r\n") {
			return
		}
		var want uint64
		for _, p := range strings.Split(text, ",") {
			for _, b := range backends {
				if want == 0 && strings.Trim(p, " \t") == "X-Seat."+c.sticky.Encode(b) {
					want = b.StickyID()
				}
			}
		}
		var r request
		r.fields.parse([]byte("Sec-WebSocket-Protocol: " + text + "\r\n\r\n"))
		if got := c.shown(&r); got != want {
			t.Errorf("%q stands for %#x, want %#x", text, got, want)
		}
	})
}
