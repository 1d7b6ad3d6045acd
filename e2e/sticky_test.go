package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// caller is one client of a sticky pool: how its requests bear its key.
type caller struct {
	t     *testing.T
	p     *process
	query string
	lines []string // of the header
}

// ask returns the backend that answers a request and what cookies come with
// it.
func (c *caller) ask() (string, []string) {
	c.t.Helper()
	resp, body := exchange(c.t, c.p.web, get("/?"+c.query, c.lines...))
	if resp.StatusCode != http.StatusOK {
		c.t.Fatalf("status %d: %s", resp.StatusCode, body)
	}
	return body, resp.Header.Values("Set-Cookie")
}

// open opens a socket and returns the backend that it is on by the balancer's
// count.
func (c *caller) open() string {
	c.t.Helper()
	before := c.p.sockets("web")
	d := testkit.DialTCP(c.t, c.p.web)
	d.Send(testkit.HandshakeRequest("game.example.com", "/?"+c.query, c.lines...))
	d.Handshaken(patience)
	name := ""
	for i, b := range c.p.backends("web") {
		if b.Active.Sockets > before[i] {
			name = b.Name
		}
	}
	d.Close()
	c.p.awaitIdle("web")
	return name
}

// stays checks that requests and sockets go to one backend and nowhere else.
func (c *caller) stays(name string) {
	c.t.Helper()
	for range 5 {
		if got, _ := c.ask(); got != name {
			c.t.Errorf("%s %v is served by %s, want %s", c.query, c.lines, got, name)
		}
	}
	if got := c.open(); got != name {
		c.t.Errorf("a socket of %s %v is on %s, want %s", c.query, c.lines, got, name)
	}
}

// Whatever the key is made of, a client stays on the backend of its first
// request; when that goes down it gets another, and stays there, also when the
// first returns. A reload changes nothing about it.
func TestSticky(t *testing.T) {
	t.Parallel()
	f := func(sticky, listener string, key func(c *caller, who int)) {
		t.Helper()
		t.Run(sticky, func(t *testing.T) { checkSticky(t, sticky, listener, key) })
	}
	f("by: query, name: room", "", func(c *caller, who int) { c.query = fmt.Sprintf("a=1&room=r%d&b=2", who) })
	f("by: header, name: X-Player", "", func(c *caller, who int) { c.lines = []string{fmt.Sprintf("x-player: p%d", who)} })
	f("by: source_ip", "trusted_proxies: [127.0.0.0/8]", func(c *caller, who int) {
		c.lines = []string{fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", who+1)}
	})
	f("by: cookie, name: home", "", nil)
}

// checkSticky runs the story of TestSticky for one kind of key. A nil key is
// the cookie that answers set.
func checkSticky(t *testing.T, sticky, listener string, key func(c *caller, who int)) {
	t.Parallel()
	backends := startArenas(t, 3)
	rest := func(weight int) string {
		return strings.Replace(site(backends, "balance: round_robin", quickHealth, "sticky: {"+sticky+"}"),
			`"}`, fmt.Sprintf(`", weight: %d}`, weight), 1)
	}
	p := start(t, setup{listener: listener, rest: rest(1)})
	homes := map[string]int{}
	var callers []*caller
	var home []string
	for who := range 6 {
		c := &caller{t: t, p: p}
		if key != nil {
			key(c, who)
		}
		name, cookies := c.ask()
		if key == nil { // the key is the cookie that the answer sets
			c.lines = []string{"Cookie: other=1; " + checkCookie(t, cookies, backends) + "; last=2"}
		} else if len(cookies) > 0 {
			t.Errorf("%s: a cookie is set: %v", sticky, cookies)
		}
		homes[name]++
		callers, home = append(callers, c), append(home, name)
		c.stays(name)
	}
	if len(homes) != 3 {
		t.Errorf("%s: 6 clients live on %v, want all backends used", sticky, homes)
	}

	p.write(rest(2))
	p.reload()
	for i, c := range callers {
		c.stays(home[i])
	}

	// The first client's backend goes, and comes back.
	var gone *arena
	for _, a := range backends {
		if a.name == home[0] {
			gone = a
		}
	}
	gone.Stop(t)
	p.awaitState("web", gone.name, "down")
	next, cookies := callers[0].ask()
	if next == gone.name {
		t.Errorf("%s: served by %s, which is stopped", sticky, next)
	}
	if key == nil {
		callers[0].lines = []string{"Cookie: " + checkCookie(t, cookies, backends)}
	}
	callers[0].stays(next)
	gone.Start(t)
	p.awaitState("web", gone.name, "up")
	callers[0].stays(next)
}

// checkCookie returns name and value of the one sticky cookie that is set, and
// checks what is said beside them.
func checkCookie(t *testing.T, cookies []string, backends []*arena) string {
	t.Helper()
	if len(cookies) != 1 {
		t.Fatalf("the cookies are %v, want one", cookies)
	}
	pair, attributes, _ := strings.Cut(cookies[0], ";")
	if !strings.HasPrefix(pair, "home=") {
		t.Errorf("the cookie is %q, want home", cookies[0])
	}
	for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(strings.ToLower(attributes), strings.ToLower(want)) {
			t.Errorf("the cookie %q lacks %s", cookies[0], want)
		}
	}
	if strings.Contains(strings.ToLower(attributes), "secure") {
		t.Errorf("the cookie %q is Secure, without TLS", cookies[0])
	}
	for _, a := range backends {
		// Names are short enough to turn up in random base64.
		if strings.Contains(cookies[0], a.Addr) || strings.Contains(attributes, a.name) || pair == "home="+a.name {
			t.Errorf("the cookie %q tells of %s at %s", cookies[0], a.name, a.Addr)
		}
	}
	return pair
}

// A cookie that was made up, or cut, or made for another pool, is as good as
// none; the answer sets a new one.
func TestForgedCookie(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 2)
	p := start(t, setup{rest: site(backends, "balance: round_robin", "sticky: {by: cookie, name: home}")})
	c := &caller{t: t, p: p}
	_, cookies := c.ask()
	good := checkCookie(t, cookies, backends)
	for _, forged := range []string{"home=", "home=b1", good[:len(good)-2], good + "AA", "home=" + strings.Repeat("A", len(good)-5), "home=%00"} {
		c.lines = []string{"Cookie: " + forged}
		if _, cookies := c.ask(); len(cookies) != 1 {
			t.Errorf("%q is answered with the cookies %v, want a new one", forged, cookies)
		}
	}
	c.lines = []string{"Cookie: " + good}
	if _, cookies := c.ask(); len(cookies) != 0 {
		t.Errorf("a good cookie is answered with %v", cookies)
	}
	// A handshake's answer sets it too.
	d := testkit.DialTCP(t, p.web)
	d.Send(testkit.HandshakeRequest("x", "/"))
	checkCookie(t, d.Handshaken(patience).Response.Header.Values("Set-Cookie"), backends)
}

// Cookies signed with a secret of the configuration outlive the process.
func TestCookieSecret(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 3)
	const secret = `sticky: {by: cookie, name: home, secret: "0123456789abcdef"}`
	c := &caller{t: t, p: start(t, setup{rest: site(backends, "balance: round_robin", secret)})}
	name, cookies := c.ask()
	c.lines = []string{"Cookie: " + checkCookie(t, cookies, backends)}
	c.p = start(t, setup{rest: site(backends, "balance: round_robin", secret)})
	c.stays(name)
}

// The first requests of one key at the same time all go to one backend.
func TestStickyUnderRace(t *testing.T) {
	t.Parallel()
	backends := startArenas(t, 3)
	p := start(t, setup{rest: site(backends, "sticky: {by: query, name: room}")})
	client := newClient(t)
	for room := range 10 {
		names := make(chan string, 20)
		for range cap(names) {
			go func() {
				resp, err := client.Get(fmt.Sprintf("http://%s/?room=%d", p.web, room))
				if err != nil {
					names <- err.Error()
					return
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				names <- string(body)
			}()
		}
		first := <-names
		for range cap(names) - 1 {
			if name := <-names; name != first {
				t.Errorf("room %d is on %s and %s", room, first, name)
			}
		}
	}
}
