package balancer

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestLeaseCountsByKind(t *testing.T) {
	_, p := compiled(t, config.Pool{Backends: backendsOf(1)})
	s := p.Backends()[0].State()
	want := func(c Counts) {
		t.Helper()
		if got := s.Counts(); got != c {
			t.Fatalf("counts %+v, want %+v", got, c)
		}
	}
	request := pick(t, p, Query{Kind: Request})
	want(Counts{Requests: 1})
	socket := pick(t, p, Query{Kind: Socket})
	want(Counts{Requests: 1, Handshakes: 1})
	failed := pick(t, p, Query{Kind: Socket})
	want(Counts{Requests: 1, Handshakes: 2})
	socket.Opened()
	want(Counts{Requests: 1, Handshakes: 1, Sockets: 1})
	failed.Done()
	want(Counts{Requests: 1, Sockets: 1})
	request.Done()
	want(Counts{Sockets: 1})
	socket.Done()
	want(Counts{})
	if socket.Held() || socket.Backend() != p.Backends()[0] {
		t.Error("a returned lease is held, or has lost its backend")
	}
}

// A socket that is open already has a place, whatever keeps others away.
func TestAdoptTakesWhatIsOpen(t *testing.T) {
	r, p := compiled(t, probed(config.Pool{Backends: []config.Backend{{URL: "http://10.0.0.0:9000", MaxConnections: 1}}}))
	full := pick(t, p, Query{Kind: Socket})
	defer full.Done()
	key := p.Backends()[0].Key()
	setHealth(t, r, p, 0, false)
	r.SetMode(key, Maintenance)
	l, ok := r.Adopt(key)
	if !ok || l.Backend() != p.Backends()[0] || !l.Held() || p.Backends()[0].State().Counts() != (Counts{Sockets: 1, Handshakes: 1}) {
		t.Fatalf("adopted %v, counts %+v", ok, p.Backends()[0].State().Counts())
	}
	l.Done()
	if got := p.Backends()[0].State().Counts(); got != (Counts{Handshakes: 1}) {
		t.Errorf("counts %+v after the socket has ended", got)
	}
	for _, other := range []Key{{}, {Pool: "p", Scheme: "https", Address: key.Address}, {Pool: "q", Scheme: key.Scheme, Address: key.Address}} {
		if l, ok := r.Adopt(other); ok || l.Held() {
			t.Errorf("adopted by %+v, which nobody knows", other)
		}
	}
	p.members[0].state.word.Store(maxLeases * oneSocket)
	if _, ok := r.Adopt(key); ok {
		t.Error("more sockets than can be counted")
	}
	p.members[0].state.word.Store(oneHandshake)
}

func TestLeaseMisusePanics(t *testing.T) {
	_, p := compiled(t, config.Pool{Backends: backendsOf(1)})
	f := func(name string, kind Kind, use func(l *Lease), want string) {
		t.Helper()
		l := pick(t, p, Query{Kind: kind})
		defer func() {
			t.Helper()
			if got, _ := recover().(string); !strings.Contains(got, want) {
				t.Errorf("%s: panic %q, want %q", name, got, want)
			}
		}()
		use(&l)
	}
	f("done twice", Request, func(l *Lease) { l.Done(); l.Done() }, "not held")
	f("opened request", Request, func(l *Lease) { defer l.Done(); l.Opened() }, "not a handshake")
	f("opened twice", Socket, func(l *Lease) { defer l.Done(); l.Opened(); l.Opened() }, "not a handshake")
	f("opened after done", Socket, func(l *Lease) { l.Done(); l.Opened() }, "not a handshake")
	// The counts are wrong after this one, so it is the last.
	f("done on a copy", Socket, func(l *Lease) { c := *l; l.Done(); c.Done() }, "10.0.0.0:9000 in pool p returned twice")
}
