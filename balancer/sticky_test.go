package balancer

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

func byQuery() *config.Sticky {
	return &config.Sticky{By: "query", Name: "room", TTL: 30 * time.Minute, MaxEntries: 1000}
}

func byCookie(secret string) *config.Sticky {
	return &config.Sticky{By: "cookie", Name: "holdfast", TTL: time.Hour, Secret: config.Secret(secret)}
}

// stickyPool is a pool in which a pick that does not stick shows: round robin
// never gives the same backend twice in a row.
func stickyPool(s *config.Sticky, backends []config.Backend) config.Pool {
	return probed(config.Pool{Balance: "round_robin", Sticky: s, Backends: backends})
}

// client picks again and again for one client, by whatever way the pool
// sticks, and keeps the cookie.
type client struct {
	key    string
	cookie string
}

func (c *client) pick(t testing.TB, p *Pool, tried *Tried) Lease {
	t.Helper()
	q := Query{StickyKey: []byte(c.key)}
	if c.cookie != "" {
		q.StickyBackend, _ = p.Sticky().Decode([]byte(c.cookie))
	}
	l, err := p.Pick(&q, tried)
	if err != nil {
		t.Fatal(err)
	}
	if b := l.Backend(); b.StickyID() != q.StickyBackend {
		c.cookie = p.Sticky().Encode(b)
	}
	return l
}

func (c *client) visit(t testing.TB, p *Pool) string {
	t.Helper()
	l := c.pick(t, p, nil)
	l.Done()
	return l.Backend().Address()
}

func forEachSticky(t *testing.T, f func(t *testing.T, s *config.Sticky)) {
	t.Helper()
	for _, by := range []string{"query", "header", "source_ip"} {
		t.Run(by, func(t *testing.T) {
			s := byQuery()
			s.By = by
			f(t, s)
		})
	}
	t.Run("cookie", func(t *testing.T) { f(t, byCookie("0123456789abcdef")) })
}

func TestStickyFollowsTheFirstPick(t *testing.T) {
	forEachSticky(t, func(t *testing.T, s *config.Sticky) {
		_, p := compiled(t, stickyPool(s, backendsOf(1, 1, 1)))
		if got := p.Sticky(); got.By() != s.By || got.Name() != s.Name {
			t.Errorf("the rule is by %s %q", got.By(), got.Name())
		}
		seen := map[string]int{}
		for i := range 30 {
			c := client{key: fmt.Sprint("client ", i)}
			home := c.visit(t, p)
			seen[home]++
			for range 5 {
				if got := c.visit(t, p); got != home {
					t.Fatalf("client %d went from %s to %s", i, home, got)
				}
			}
		}
		// First picks are the algorithm's.
		for address, n := range seen {
			if n != 10 {
				t.Errorf("%s is home to %d clients, want 10", address, n)
			}
		}
	})
}

func TestStickyMovesAndStaysWhenItsBackendIsNotUsable(t *testing.T) {
	forEachSticky(t, func(t *testing.T, s *config.Sticky) {
		f := func(name string, spoil, mend func(r *Registry, p *Pool, b *Backend)) {
			t.Helper()
			r, p := compiled(t, stickyPool(s, backendsOf(1, 1, 1)))
			c := client{key: "someone"}
			l := c.pick(t, p, nil)
			old := l.Backend()
			l.Done()
			spoil(r, p, old)
			moved := c.visit(t, p)
			if moved == old.Address() {
				t.Fatalf("%s: picked all the same", name)
			}
			mend(r, p, old)
			for range 5 {
				if got := c.visit(t, p); got != moved {
					t.Fatalf("%s: went on from %s to %s", name, moved, got)
				}
			}
		}
		f("down",
			func(r *Registry, _ *Pool, b *Backend) { r.SetHealth(b.Key(), false, "", epoch) },
			func(r *Registry, _ *Pool, b *Backend) { r.SetHealth(b.Key(), true, "", epoch) })
		f("drain",
			func(r *Registry, _ *Pool, b *Backend) { r.SetMode(b.Key(), Drain) },
			func(r *Registry, _ *Pool, b *Backend) { r.SetMode(b.Key(), Ready) })
	})
}

func TestStickyRemembersTheRetry(t *testing.T) {
	forEachSticky(t, func(t *testing.T, s *config.Sticky) {
		_, p := compiled(t, stickyPool(s, backendsOf(1, 1, 1)))
		c := client{key: "someone"}
		l := c.pick(t, p, nil)
		l.Done()
		tried := triedOf(l.Backend())
		retry := c.pick(t, p, tried)
		retry.Done()
		if retry.Backend() == l.Backend() {
			t.Fatal("the retry went to the same backend")
		}
		if got := c.visit(t, p); got != retry.Backend().Address() {
			t.Errorf("went to %s, want %s, which served the retry", got, retry.Backend().Address())
		}
	})
}

func TestStickyKeepsThePlaceAtAFullBackend(t *testing.T) {
	backends := backendsOf(1, 1)
	backends[0].MaxConnections, backends[1].MaxConnections = 1, 1
	_, p := compiled(t, stickyPool(byQuery(), backends))
	c := client{key: "someone"}
	l := c.pick(t, p, nil) // fills its home
	elsewhere := c.pick(t, p, nil)
	if elsewhere.Backend() == l.Backend() {
		t.Fatal("the limit was passed")
	}
	l.Done()
	if got := c.visit(t, p); got != l.Backend().Address() {
		t.Errorf("went to %s, want home to %s, which has room again", got, l.Backend().Address())
	}
}

func TestStickyWhenAllAreDown(t *testing.T) {
	forEachSticky(t, func(t *testing.T, s *config.Sticky) {
		cfg := stickyPool(s, backendsOf(1, 1, 1))
		cfg.WhenAllDown = "try"
		r, p := compiled(t, cfg)
		c := client{key: "someone"}
		home := c.visit(t, p)
		for i := range 3 {
			setHealth(t, r, p, i, false)
		}
		for range 5 {
			if got := c.visit(t, p); got != home {
				t.Fatalf("went to %s, want home to %s: none is better", got, home)
			}
		}
	})
}

func TestStickyWithoutKey(t *testing.T) {
	_, p := compiled(t, stickyPool(byQuery(), backendsOf(1, 1, 1)))
	var c client
	if first, second := c.visit(t, p), c.visit(t, p); first == second {
		t.Errorf("two requests without a key both went to %s", first)
	}
}

// Two players enter a new room at the same moment: they must meet.
func TestStickyFirstPicksOfOneKeyMeet(t *testing.T) {
	_, p := compiled(t, stickyPool(byQuery(), backendsOf(1, 1, 1)))
	const players = 8
	for room := range 300 {
		key := fmt.Sprint("room ", room)
		var leases [players]Lease
		start := make(chan struct{})
		var wg sync.WaitGroup
		for i := range players {
			wg.Go(func() {
				<-start
				leases[i], _ = p.Pick(&Query{Kind: Socket, StickyKey: []byte(key)}, nil)
			})
		}
		close(start)
		wg.Wait()
		for i := range leases {
			if leases[i].Backend() != leases[0].Backend() {
				t.Fatalf("%s is on %s and %s", key, leases[0].Backend().Name(), leases[i].Backend().Name())
			}
		}
	}
	total := 0
	for _, n := range activeOf(p) {
		total += n
	}
	if total != 300*players {
		t.Errorf("%d leases are counted, want %d", total, 300*players)
	}
}

func TestStickySurvivesReloads(t *testing.T) {
	forEachSticky(t, func(t *testing.T, s *config.Sticky) {
		backends := backendsOf(1, 1, 1, 1)
		r, p := compiled(t, stickyPool(s, backends))
		clients := make([]client, 40)
		home := make([]string, len(clients))
		for i := range clients {
			clients[i].key = fmt.Sprint("client ", i)
			home[i] = clients[i].visit(t, p)
		}
		check := func(what string, c config.Pool) {
			t.Helper()
			p := reload(t, r, c)
			for i := range clients {
				if got := clients[i].visit(t, p); got != home[i] {
					t.Fatalf("%s: client %d went from %s to %s", what, i, home[i], got)
				}
			}
		}
		check("same", stickyPool(s, backends))
		changed := slices.Clone(backends)
		slices.Reverse(changed)
		for i := range changed {
			changed[i].Weight = 1 + i
			changed[i].Name = fmt.Sprint("renamed ", i)
		}
		check("reordered, renamed, reweighted", stickyPool(s, changed))
		check("one more", stickyPool(s, append(changed, config.Backend{URL: "http://10.1.1.1:1", Weight: 1})))
		other := stickyPool(s, backends)
		other.Balance = "least_conn"
		check("another algorithm", other)
		larger := *s
		larger.MaxEntries, larger.TTL = 2345, 2*s.TTL
		check("another ttl and size", stickyPool(&larger, backends))
		check("and back", stickyPool(s, backends))

		// One goes: its clients move, the others stay.
		p = reload(t, r, stickyPool(s, backends[1:]))
		gone := "10.0.0.0:9000"
		for i := range clients {
			if got := clients[i].visit(t, p); got == gone || home[i] != gone && got != home[i] {
				t.Fatalf("client %d went from %s to %s", i, home[i], got)
			}
		}
	})
}

func TestStickyTTLCountsFromTheLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := byQuery()
		s.TTL = time.Minute
		_, p := compiled(t, stickyPool(s, backendsOf(1, 1, 1)))
		c := client{key: "someone"}
		home := c.visit(t, p)
		for range 10 {
			time.Sleep(50 * time.Second)
			if got := c.visit(t, p); got != home {
				t.Fatalf("went from %s to %s although it never stayed away for a ttl", home, got)
			}
		}
		time.Sleep(61 * time.Second)
		// Round robin has moved on by none, so a forgotten client moves.
		if got := c.visit(t, p); got == home {
			t.Error("still remembered after more than a ttl")
		}
	})
}

func TestStickyByCookieNeedsNoMemory(t *testing.T) {
	_, p1 := compiled(t, stickyPool(byCookie("shared secret 16"), backendsOf(1, 1, 1)))
	reversed := backendsOf(1, 1, 1)
	slices.Reverse(reversed)
	_, p2 := compiled(t, stickyPool(byCookie("shared secret 16"), reversed))
	var c client
	home := c.visit(t, p1)
	for range 5 {
		if got := c.visit(t, p2); got != home {
			t.Fatalf("another balancer with the same secret sent %s to %s", home, got)
		}
	}
}
