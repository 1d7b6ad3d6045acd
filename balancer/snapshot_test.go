package balancer

import (
	"reflect"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestSnapshot(t *testing.T) {
	r := NewRegistry()
	commit := func(pools map[string]config.Pool) *Pools {
		t.Helper()
		ps, err := r.Compile(pools)
		if err != nil {
			t.Fatal(err)
		}
		r.Commit(ps)
		return ps
	}
	if got := r.Snapshot(); len(got) != 0 {
		t.Fatalf("an empty registry has %+v", got)
	}
	arena := probed(config.Pool{Backends: backendsOf(2, 1)})
	arena.Backends[0].MaxConnections = 50
	ps := commit(map[string]config.Pool{"web": {Backends: backendsOf(1)}, "arena": arena})
	a := ps.Pool("arena")
	var leases []Lease
	for range 3 {
		leases = append(leases, pick(t, a, Query{Kind: Socket}))
	}
	leases[0].Opened()
	web := pick(t, ps.Pool("web"), Query{})
	r.SetHealth(a.Backends()[1].Key(), false, "refused", epoch)
	r.SetMode(a.Backends()[0].Key(), Drain)

	got := r.Snapshot()
	sockets, handshakes, given := 0, 0, uint64(0)
	for i := range got[:2] {
		sockets += got[i].Sockets
		handshakes += got[i].Handshakes
		given += got[i].Given
		got[i].Counts, got[i].Given = Counts{}, 0 // which of the two has them is chance
	}
	if sockets != 1 || handshakes != 2 || given != 3 {
		t.Errorf("%d sockets, %d handshakes and %d so far, want 1, 2 and 3", sockets, handshakes, given)
	}
	want := []BackendStatus{
		{Pool: "arena", Name: "b0", Scheme: "http", Address: "10.0.0.0:9000", Up: true, Mode: Drain,
			Why: "not probed yet", Since: got[0].Since, Weight: 2, MaxConnections: 50},
		{Pool: "arena", Name: "b1", Scheme: "http", Address: "10.0.0.1:9000", Up: false, Mode: Ready,
			Why: "refused", Since: epoch, Weight: 1},
		{Pool: "web", Name: "b0", Scheme: "http", Address: "10.0.0.0:9000", Up: true, Mode: Ready,
			Why: "not probed", Since: got[2].Since, Counts: Counts{Requests: 1}, Weight: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}

	// Retired ones come last.
	commit(map[string]config.Pool{"zoo": {Backends: backendsOf(1)}})
	got = r.Snapshot()
	if len(got) < 3 || got[0].Pool != "zoo" || got[0].Retired {
		t.Fatalf("got %+v, want zoo first", got)
	}
	active := 0
	for i, s := range got[1:] {
		active += s.Active()
		if !s.Retired || s.Weight != 0 || i > 0 && got[i].Pool > s.Pool {
			t.Errorf("got %+v, want it retired and in order", s)
		}
	}
	if active != 4 {
		t.Errorf("%d leases at retired backends, want 4", active)
	}
	for i := range leases {
		leases[i].Done()
	}
	web.Done()
	if got := r.Snapshot(); len(got) != 1 {
		t.Errorf("got %+v, want zoo alone", got)
	}
}
