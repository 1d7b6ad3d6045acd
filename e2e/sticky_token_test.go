package e2e

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

const seatSecret = `sticky: {by: token, name: X-Seat, secret: "0123456789abcdef"}`

// seats are what a request and a handshake are told, empty if nothing, and who
// served the request.
func (c *caller) seats() (name, request, handshake string) {
	c.t.Helper()
	resp, name := exchange(c.t, c.p.web, get("/?"+c.query, c.lines...))
	d := testkit.DialTCP(c.t, c.p.web)
	d.Send(testkit.HandshakeRequest("game.example.com", "/?"+c.query, c.lines...))
	handshake = d.Handshaken(patience).Response.Header.Get("X-Seat")
	d.Close()
	c.p.awaitIdle("web")
	return name, resp.Header.Get("X-Seat"), handshake
}

// A client without cookies stays with its backend by showing the token that it
// was told, in whatever way, at any instance with the same secret, none of
// which has a table.
func TestStickyToken(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 4)
	one := start(t, setup{rest: site(backends, "balance: round_robin", seatSecret)})
	other := start(t, setup{rest: site(backends, "balance: random", seatSecret)})
	homes := map[string]bool{}
	for range 4 {
		newcomer := &caller{t: t, p: one}
		name, seat, _ := newcomer.seats()
		homes[name] = true
		if len(seat) != 32 { // a name is short enough to turn up in it by chance
			t.Fatalf("%s tells the token %q", name, seat)
		}
		for _, p := range []*process{one, other} {
			f := func(query string, lines ...string) {
				t.Helper()
				c := &caller{t: t, p: p, query: query, lines: lines}
				c.stays(name)
				if _, again, handshake := c.seats(); again != "" || handshake != "" {
					t.Errorf("%s %v: the token is told again: %q, %q", query, lines, again, handshake)
				}
			}
			f("", "x-seat: "+seat)
			f("a=1&X-Seat=" + seat)
			f("", "Sec-WebSocket-Protocol: game.v1, X-Seat."+seat)
		}
	}
	if len(homes) < 2 {
		t.Errorf("newcomers are all on %v", homes)
	}
}

// A token that was made up, or for another pool, is as good as none, and one
// whose backend is drained is exchanged.
func TestTokenIsExchanged(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	text := site(backends, "balance: round_robin", seatSecret)
	p := start(t, setup{rest: text})
	c := &caller{t: t, p: p}
	home, good, _ := c.seats()
	foreign := start(t, setup{rest: strings.ReplaceAll(strings.Replace(text, "  web:", "  lobby:", 1), "pool: web", "pool: lobby")})
	resp, _ := exchange(t, foreign.web, get("/"))
	for _, forged := range []string{"b1", good[:30], good + "AA", strings.Repeat("A", len(good)), resp.Header.Get("X-Seat")} {
		c.lines = []string{"X-Seat: " + forged}
		if _, request, handshake := c.seats(); len(request) != len(good) || len(handshake) != len(good) {
			t.Errorf("%q is answered with %q and, in a handshake, with %q", forged, request, handshake)
		}
	}
	if status := p.post("/api/v1/pools/web/backends/" + home + "/drain"); status >= 300 {
		t.Fatalf("drain %s: status %d", home, status)
	}
	c.lines = []string{"X-Seat: " + good}
	next, request, handshake := c.seats()
	if next == home || request == "" || request == good || request != handshake {
		t.Errorf("%s is drained: served by %s, told %q and %q", home, next, request, handshake)
	}
	c.lines = []string{"X-Seat: " + request}
	c.stays(next)
}
