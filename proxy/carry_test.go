//go:build linux && (amd64 || arm64)

package proxy

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/holdfast-lb/holdfast/accesslog"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/relay"
)

// handTo hands the sockets of r to another proxy as to another process, and
// returns what was said about those that it refused.
func (r *rig) handTo(t *testing.T, other *rig) (refusals []string) {
	t.Helper()
	_, err := r.proxy.HandOver(func(sockets []CarriedSocket, descriptors []int) ([]bool, error) {
		text, err := json.Marshal(sockets)
		if err != nil {
			return nil, err
		}
		var got []CarriedSocket
		if err := json.Unmarshal(text, &got); err != nil {
			return nil, err
		}
		refused := make([]bool, len(got))
		for i := range got {
			var fds [2]int
			for side := range fds {
				if fds[side], err = sys.Dup(descriptors[2*i+side]); err != nil {
					return nil, err
				}
			}
			if err := other.proxy.Receive(&got[i], fds[0], fds[1]); err != nil {
				sys.Close(fds[0])
				sys.Close(fds[1])
				refused[i], refusals = true, append(refusals, err.Error())
			}
		}
		return refused, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return refusals
}

// openSockets is the gauge of all routes.
func (r *rig) openSockets(t *testing.T) (sum float64) {
	t.Helper()
	families, err := r.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "holdfast_sockets_open" {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

func (r *rig) socketsOf(backend string) int {
	c, _ := r.registry.Counts(balancer.Key{Pool: "pool", Scheme: "http", Address: backend})
	return c.Sockets
}

// A socket goes on in another proxy: with its number, its request's id, its line
// in the access log, its key; and counts there and here no more.
func TestSocketsAreHandedOver(t *testing.T) {
	b := testkit.StartBackend(t, testkit.Echo())
	var rigs [2]*rig
	var relays [2]*relay.Relay
	var texts [2]bytes.Buffer
	var logs [2]*accesslog.Logger
	for i := range rigs {
		rigs[i], relays[i] = startSockets(t, configOf(b.Addr), nil)
		var err error
		if logs[i], err = accesslog.New(&texts[i], "json"); err != nil {
			t.Fatal(err)
		}
		rigs[i].proxy.SetAccessLogs(&AccessLogs{Default: logs[i]})
	}
	from, to := rigs[0], rigs[1]
	agent := "Pony/1.0 \xff"
	c, _, err := websocket.DefaultDialer.Dial("ws://"+from.addr+"/ws?a=b", http.Header{"User-Agent": {agent}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo := func(say string) {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if err := c.WriteMessage(websocket.TextMessage, []byte(say)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.ReadMessage(); err != nil || string(got) != say {
			t.Fatalf("%q, %v; want %q", got, err, say)
		}
	}
	one := func(r *rig) (o OpenSocket) {
		r.proxy.Sockets(func(s *OpenSocket) bool { o = *s; return true })
		return o
	}
	echo("before")
	was := one(from)
	if said := from.handTo(t, to); said != nil {
		t.Fatal(said)
	}
	echo("behind")
	is := one(to)
	if is.ID != was.ID || is.Route != was.Route || is.Backend != was.Backend || is.Client != was.Client || is.Frames != [2]uint64{2, 2} || is.Age < was.Age {
		t.Errorf("%+v has become %+v", was, is)
	}
	if a, b := from.socketsOf(b.Addr), to.socketsOf(b.Addr); a != 0 || b != 1 {
		t.Errorf("%d and %d sockets count, want 0 and 1", a, b)
	}
	if a, b := from.openSockets(t), to.openSockets(t); a != 0 || b != 1 {
		t.Errorf("the gauges of open sockets say %v and %v, want 0 and 1", a, b)
	}
	// And back: what it is does not wear off.
	if said := to.handTo(t, from); said != nil {
		t.Fatal(said)
	}
	echo("back")
	if said := from.handTo(t, to); said != nil {
		t.Fatal(said)
	}
	_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "done"))
	_, _, _ = c.ReadMessage()
	_ = c.Close()
	testkit.Eventually(t, patience, func() bool { return relays[1].Stats().Pairs == 0 }, "the socket ends")
	for i, r := range rigs {
		if err := logs[i].Close(); err != nil {
			t.Error(err)
		}
		r.proxy.SetAccessLogs(nil)
	}
	line := texts[1].String()
	for _, part := range []string{`"uri":"/ws?a=b"`, `"user_agent":"Pony/1.0`, `"frames_in":4`, `"close_code":4000`, `"route":"all"`} {
		if !strings.Contains(line, part) {
			t.Errorf("the line has no %s:\n%s", part, line)
		}
	}
	if strings.Count(line, "\n") != 1 || texts[0].Len() > 0 {
		t.Errorf("the lines are\n%s and, where it began,\n%s", line, texts[0].String())
	}
	if n := to.socketsOf(b.Addr); n != 0 {
		t.Errorf("%d sockets count, want none", n)
	}
}

// A socket whose route or backend is not there goes on where it was.
func TestSocketsThatAreRefused(t *testing.T) {
	b, elsewhere := testkit.StartBackend(t, testkit.Echo()), testkit.StartBackend(t, testkit.Echo())
	from, _ := startSockets(t, configOf(b.Addr), nil)
	c, _, err := websocket.DefaultDialer.Dial("ws://"+from.addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f := func(to *rig, want string) {
		t.Helper()
		if said := from.handTo(t, to); len(said) != 1 || !strings.Contains(said[0], want) {
			t.Errorf("%q, want one refusal with %q", said, want)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_ = c.WriteMessage(websocket.TextMessage, []byte("here"))
		if _, got, err := c.ReadMessage(); err != nil || string(got) != "here" {
			t.Errorf("%q, %v", got, err)
		}
		if a, b := from.socketsOf(b.Addr), to.socketsOf(b.Addr); a != 1 || b != 0 {
			t.Errorf("%d and %d sockets count, want 1 and 0", a, b)
		}
	}
	other, _ := startSockets(t, configOf(elsewhere.Addr), nil)
	f(other, "there is no backend http://"+b.Addr+` in pool "pool"`)
	cfg := configOf(b.Addr)
	cfg.Routes[0].Name = "another"
	other, _ = startSockets(t, cfg, nil)
	f(other, `there is no route "all" to a pool`)
}
