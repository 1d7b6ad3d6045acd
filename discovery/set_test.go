package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// fakeSource answers as it is told to.
type fakeSource struct {
	mu     sync.Mutex
	answer answer
	err    error
	hangs  bool
	asked  int
}

func (s *fakeSource) fetch(ctx context.Context) (answer, error) {
	s.mu.Lock()
	s.asked++
	a, err, hangs := s.answer, s.err, s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return answer{}, ctx.Err()
	}
	return a, err
}

func (s *fakeSource) says(good time.Duration, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.err, s.hangs = answer{backends: at(addresses...), good: good}, nil, false
}

func (s *fakeSource) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeSource) questions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// rig is a Set of fake sources, by URL, and what it has told.
type rig struct {
	*Set
	sources map[string]*fakeSource
	changes atomic.Int64
	log     testkit.Log
}

func newRig(urls ...string) *rig {
	r := &rig{sources: map[string]*fakeSource{}}
	for _, url := range urls {
		r.sources[url] = &fakeSource{}
	}
	r.Set = New(slog.New(slog.NewTextHandler(&r.log, nil)), func() { r.changes.Add(1) })
	r.newSource = func(c config.Discovery) source { return r.sources[c.HTTP.URL] }
	return r
}

// from is pools whose sources are at these URLs: pool and URL in turn.
func from(pairs ...string) map[string]config.Pool {
	pools := map[string]config.Pool{"static": {}}
	for i := 0; i < len(pairs); i += 2 {
		pools[pairs[i]] = config.Pool{Discovery: &config.Discovery{MaxBackends: 3, HTTP: &config.HTTPDiscovery{URL: pairs[i+1], Interval: time.Second}}}
	}
	return pools
}

// list is a pool's backends, by address.
func list(all map[string][]config.Backend, pool string) string {
	var names []string
	for _, b := range all[pool] {
		names = append(names, b.Name)
	}
	return strings.Join(names, " ")
}

func (r *rig) want(t *testing.T, pool, want string) {
	t.Helper()
	synctest.Wait()
	if got := list(r.Backends(), pool); got != want {
		t.Errorf("%s has %q, want %q", pool, got, want)
	}
}

func TestSetFollowsItsSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig("u")
		defer r.Close()
		s := r.sources["u"]
		s.says(20*time.Second, "a:1")
		c := r.Prepare(from("p", "u"))
		if got := list(c.Backends(), "p"); got != "a:1" || len(r.Backends()) != 0 || r.log.String() != "" {
			t.Errorf("prepared %q; in force %v; log %q", got, r.Backends(), r.log.String())
		}
		c.Commit()
		r.want(t, "p", "a:1")
		if r.changes.Load() != 0 {
			t.Error("whoever commits is told again")
		}

		// An answer is used for its time, and for a tenth more at most.
		s.says(time.Second, "b:1", "a:1")
		time.Sleep(20*time.Second - time.Millisecond)
		r.want(t, "p", "a:1")
		time.Sleep(2*time.Second + time.Millisecond)
		r.want(t, "p", "a:1 b:1")
		if r.changes.Load() != 1 {
			t.Errorf("%d changes", r.changes.Load())
		}
		s.fails(troubled("status 500", "status 500"))
		time.Sleep(time.Minute)
		s.fails(troubled("timeout", "late"))
		time.Sleep(time.Minute)
		r.want(t, "p", "a:1 b:1")
		if st := r.Status()["p"]; st.Trouble != "late" || st.Backends != 2 || time.Since(st.Answered) < 2*time.Minute || st.Source != "http u" {
			t.Errorf("%+v", st)
		}
		s.says(time.Second, "a:1", "b:1")
		time.Sleep(time.Minute)
		if r.changes.Load() != 1 {
			t.Errorf("%d changes", r.changes.Load())
		}
		log := r.log.String()
		if n := strings.Count(log, "discovery fails"); n != 2 || strings.Count(log, "answers again") != 1 || strings.Count(log, "\n") != 4 ||
			!strings.Contains(log, "code=HF-2013") || !strings.Contains(log, `why="status 500"`) {
			t.Errorf("the log is\n%s", log)
		}
	})
}

// A source that hangs holds a start up for five seconds, and no other source.
func TestPrepareIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig("u", "hangs")
		defer r.Close()
		r.sources["u"].says(time.Second, "a:1")
		r.sources["hangs"].hangs = true
		began := time.Now()
		c := r.Prepare(from("p", "u", "q", "hangs"))
		if took := time.Since(began); took != firstWait {
			t.Errorf("it took %v", took)
		}
		if got := list(c.Backends(), "p"); got != "a:1" {
			t.Errorf("p has %q", got)
		}
		c.Commit()
		if st := r.Status()["q"]; !strings.Contains(st.Trouble, "no answer in time") || !st.Answered.IsZero() {
			t.Errorf("%+v", st)
		}
		r.sources["hangs"].says(time.Second, "b:1")
		time.Sleep(2 * time.Second)
		r.want(t, "q", "b:1")
		if r.changes.Load() != 1 {
			t.Errorf("%d changes", r.changes.Load())
		}
	})
}

func TestReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig("u", "v", "dead")
		defer r.Close()
		r.sources["u"].says(time.Hour, "a:1")
		r.sources["v"].says(time.Hour, "b:1")
		r.sources["dead"].fails(troubled("timeout", "late"))
		r.Prepare(from("p", "u", "q", "v")).Commit()

		// What stays is not asked again, and what is dropped leaves no trace.
		r.Prepare(from("p", "dead")).Drop()
		r.Prepare(from("p", "u", "q", "v")).Commit()
		if n := r.sources["u"].questions(); n != 1 {
			t.Errorf("%d questions", n)
		}
		if strings.Contains(r.log.String(), "fails") {
			t.Errorf("the log is\n%s", r.log.String())
		}
		// Another source that does not answer begins with what there was.
		c := r.Prepare(from("p", "dead"))
		if got := list(c.Backends(), "p"); got != "a:1" {
			t.Errorf("prepared %q", got)
		}
		c.Commit()
		r.want(t, "p", "a:1")
		if _, there := r.Backends()["q"]; there || !strings.Contains(r.log.String(), "fails") {
			t.Errorf("%v; the log is\n%s", r.Backends(), r.log.String())
		}
		r.sources["dead"].says(time.Hour, "c:1")
		time.Sleep(2 * time.Second)
		r.want(t, "p", "c:1")

		// Nobody asks for a pool that is gone, or after the end.
		r.Prepare(from()).Commit()
		before := r.sources["dead"].questions()
		time.Sleep(2 * time.Hour)
		r.Close()
		r.Prepare(from("p", "u")).Commit()
		time.Sleep(2 * time.Hour)
		if n := r.sources["dead"].questions(); n != before || r.sources["u"].questions() != 2 {
			t.Errorf("%d and %d questions, had been %d", n, r.sources["u"].questions(), before)
		}
	})
}

// A question under way does not hold up a reload or the end.
func TestCloseInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig("u")
		s := r.sources["u"]
		s.says(time.Second, "a:1")
		r.Prepare(from("p", "u")).Commit()
		s.mu.Lock()
		s.hangs = true
		s.mu.Unlock()
		time.Sleep(3 * time.Second)
		began := time.Now()
		r.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		if strings.Contains(r.log.String(), "fails") {
			t.Errorf("the log is\n%s", r.log.String())
		}
	})
}

// A change that comes when the Set is closed already leaves nothing open.
func TestCommitAfterClose(t *testing.T) {
	var open atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"url": "http://10.0.0.1:9000"}]`)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			open.Add(-1)
		}
	}
	server.Start()
	defer server.Close()
	pools := from("p", server.URL)
	pools["p"].Discovery.HTTP.Timeout = 5 * time.Second
	set := New(slog.New(slog.DiscardHandler), func() {})
	c := set.Prepare(pools)
	if got := list(c.Backends(), "p"); got != "10.0.0.1:9000" || open.Load() != 1 {
		t.Fatalf("prepared %q over %d connections", got, open.Load())
	}
	set.Close()
	c.Commit()
	testkit.Eventually(t, 5*time.Second, func() bool { return open.Load() == 0 }, "the connection to the source is closed")
	if all := set.Backends(); len(all) != 0 {
		t.Errorf("a closed set has %v", all)
	}
}

func TestDescribe(t *testing.T) {
	f := func(c config.Discovery, want string) {
		t.Helper()
		if got := Describe(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(config.Discovery{DNS: &config.DNSDiscovery{Type: "srv", Name: "_a._tcp.b"}}, "dns srv _a._tcp.b")
	f(config.Discovery{File: &config.FileDiscovery{Path: "/x.yaml"}}, "file /x.yaml")
	f(config.Discovery{HTTP: &config.HTTPDiscovery{URL: "https://a/b?token=c"}}, "http https://a/b")
}
