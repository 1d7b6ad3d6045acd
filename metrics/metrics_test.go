package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// used returns a Metrics in which every family has at least one series.
func used() *Metrics {
	m := New()
	r := m.Route("arena")
	r.Request(200, 3*time.Millisecond)
	r.Retry()
	r.Handshake(HandshakeAccepted, time.Millisecond)
	r.SocketOpened()
	r.SocketOpened()
	r.SocketClosed(2 * time.Minute)
	l := m.Listener("web")
	l.Accepted()
	l.AcceptError()
	l.Refused(RefusedMaxConnectionsPerIP)
	l.SetOpen(func() int { return 7 })
	m.Probe("arena", "arena-1", true, time.Millisecond)
	m.Probe("arena", "arena-1", false, time.Second)
	m.SocketOpened("arena", "arena-1", time.Millisecond)
	m.SocketClosed("arena", "arena-1", 2*time.Minute)
	m.RoundTrip("arena", "arena-1", false, 30*time.Millisecond)
	m.RoundTrip("arena", "arena-1", true, time.Millisecond)
	m.Reload(true, time.Unix(1700000000, 0))
	m.Drained("arena", false)
	m.Queue("arena").Served(time.Second)
	m.Spares("arena").Ready(3)
	m.Ejected("arena", "arena-1")
	m.Panic("arena", true)
	m.Webhook("ops", WebhookDropped)
	m.Spans(SpansExported, 3)
	m.SetLogDropped(func() uint64 { return 5 })
	m.SetBackends(func() []BackendSample {
		return []BackendSample{{
			Pool: "arena", Backend: "arena-1", Up: true, Mode: "ready", Weight: 2,
			Changed: time.Unix(1700000001, 0), Sockets: 3, Requests: 2, Handshakes: 1, Given: 9,
			Report: &ReportSample{Load: 0.7, Capacity: 350, Drain: true},
		}}
	})
	m.SetMemory(func() MemorySample { return MemorySample{Limit: 1 << 30, Used: 1 << 29, Short: true} })
	m.SetDiscovery(func() []DiscoverySample {
		return []DiscoverySample{{Pool: "arena", Backends: 3, OK: true, Answered: time.Unix(1700000002, 0)}}
	})
	m.SetPools(func() []PoolSample {
		return []PoolSample{{Pool: "arena", PerSecond: 900, PerSecondBackend: 300, Room: 1000}}
	})
	m.CertificateLoaded(true)
	m.CertificateLoaded(false)
	m.SetCertificates(func() []CertificateSample {
		return []CertificateSample{
			{"game.example", "ecdsa", time.Unix(1700000009, 0)},
			{"game.example", "ecdsa", time.Unix(1700000005, 0)},
			{"game.example", "rsa", time.Unix(1700000007, 0)},
		}
	})
	m.SetRelay(func() RelaySample {
		return RelaySample{
			ClientToBackend: FlowSample{Bytes: 10, Text: 2},
			BackendToClient: FlowSample{Bytes: 20, Pong: 1},
			OpenPairs:       4,
		}
	})
	return m
}

func TestNamesFollowTheConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(used().Gatherer())
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestValues(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(used().Gatherer(), strings.NewReader(want), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	f("holdfast_sockets_open", `
# HELP holdfast_sockets_open WebSockets open now.
# TYPE holdfast_sockets_open gauge
holdfast_sockets_open{route="arena"} 1
`)
	f("holdfast_certificate_expiry_timestamp_seconds", `
# HELP holdfast_certificate_expiry_timestamp_seconds Unix time at which a certificate ends, by the first name that it has and the kind of its key; the earliest, if several have both.
# TYPE holdfast_certificate_expiry_timestamp_seconds gauge
holdfast_certificate_expiry_timestamp_seconds{key="ecdsa",name="game.example"} 1.700000005e+09
holdfast_certificate_expiry_timestamp_seconds{key="rsa",name="game.example"} 1.700000007e+09
`)
	f("holdfast_certificate_loads_total", `
# HELP holdfast_certificate_loads_total Certificates and authorities of clients read to be used, by result: success or failure. After a failure those before it stay in use.
# TYPE holdfast_certificate_loads_total counter
holdfast_certificate_loads_total{result="failure"} 1
holdfast_certificate_loads_total{result="success"} 1
`)
	f("holdfast_listener_connections_open", `
# HELP holdfast_listener_connections_open Client connections open now, WebSockets included.
# TYPE holdfast_listener_connections_open gauge
holdfast_listener_connections_open{listener="web"} 7
`)
	f("holdfast_backend_active", `
# HELP holdfast_backend_active What the backend carries now, by kind: socket (open), request (in flight), handshake (under way).
# TYPE holdfast_backend_active gauge
holdfast_backend_active{backend="arena-1",kind="handshake",pool="arena"} 1
holdfast_backend_active{backend="arena-1",kind="request",pool="arena"} 2
holdfast_backend_active{backend="arena-1",kind="socket",pool="arena"} 3
`)
	f("holdfast_probes_total", `
# HELP holdfast_probes_total Health probes by result: success or failure.
# TYPE holdfast_probes_total counter
holdfast_probes_total{backend="arena-1",pool="arena",result="failure"} 1
holdfast_probes_total{backend="arena-1",pool="arena",result="success"} 1
`)
	f("holdfast_relay_bytes_total", `
# HELP holdfast_relay_bytes_total Bytes carried between WebSocket clients and backends, by direction: client_to_backend or backend_to_client.
# TYPE holdfast_relay_bytes_total counter
holdfast_relay_bytes_total{direction="backend_to_client"} 20
holdfast_relay_bytes_total{direction="client_to_backend"} 10
`)
	f("holdfast_last_reload_success_timestamp_seconds", `
# HELP holdfast_last_reload_success_timestamp_seconds Unix time at which the running configuration was taken.
# TYPE holdfast_last_reload_success_timestamp_seconds gauge
holdfast_last_reload_success_timestamp_seconds 1.7e+09
`)
	f("holdfast_access_log_dropped_total", `
# HELP holdfast_access_log_dropped_total Access-log lines dropped because the log could not be written fast enough.
# TYPE holdfast_access_log_dropped_total counter
holdfast_access_log_dropped_total 5
`)
}

// value returns one sample of the text that a scrape would get, or "" when
// there is none. The sample is named as the text format writes it.
func value(t *testing.T, m *Metrics, sample string) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: status %d, want 200", w.Code)
	}
	for line := range strings.Lines(w.Body.String()) {
		if v, ok := strings.CutPrefix(line, sample+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func TestReloadThatFailsKeepsTheTimeOfTheLastGoodOne(t *testing.T) {
	m := New()
	m.Reload(true, time.Unix(1000, 0))
	m.Reload(false, time.Unix(2000, 0))

	f := func(sample, want string) {
		t.Helper()
		if got := value(t, m, sample); got != want {
			t.Errorf("%s = %q, want %q", sample, got, want)
		}
	}
	f(`holdfast_last_reload_successful`, "0")
	f(`holdfast_last_reload_success_timestamp_seconds`, "1000")
	f(`holdfast_reloads_total{result="success"}`, "1")
	f(`holdfast_reloads_total{result="failure"}`, "1")
}

// TestDocumentedTable holds docs/metrics.md against what a scrape returns. On
// a difference it prints the table that belongs there.
func TestDocumentedTable(t *testing.T) {
	families, err := used().Gatherer().Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	var want strings.Builder
	want.WriteString("| Name | Type | Labels | Meaning |\n|---|---|---|---|\n")
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "holdfast_") {
			continue
		}
		var labels []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		slices.Sort(labels)
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", family.GetName(),
			strings.ToLower(family.GetType().String()), strings.Join(labels, ", "), family.GetHelp())
	}

	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatalf("read the reference page: %v", err)
	}
	if !strings.Contains(string(page), want.String()) {
		t.Errorf("docs/metrics.md does not hold this table, which the code gives:\n%s", want.String())
	}
}

func TestHandlerServesAScrape(t *testing.T) {
	m := used()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))

	if w.Code != http.StatusOK {
		t.Fatalf("status %d, want 200", w.Code)
	}
	for _, want := range []string{
		`holdfast_requests_total{code="2xx",route="arena"} 1`,
		`holdfast_build_info{`, "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the scrape lacks %s", want)
		}
	}
}

func TestScrapeSurvivesABadLabel(t *testing.T) {
	m := used()
	m.SetBackends(func() []BackendSample { return []BackendSample{{Pool: "p\xff", Backend: "b", Mode: "ready"}} })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))

	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "holdfast_sockets_open") {
		t.Errorf("status %d and the healthy families missing, want 200 with them", w.Code)
	}
}

func TestScrapeBesideTraffic(t *testing.T) {
	m := used()
	var traffic sync.WaitGroup
	for i := range 4 {
		traffic.Go(func() {
			r := m.Route(fmt.Sprintf("route-%d", i))
			for range 200 {
				r.Request(200, time.Millisecond)
				m.Probe("arena", "arena-1", true, time.Millisecond)
				m.Listener("web").Accepted()
			}
		})
	}
	for range 5 {
		if _, err := m.Gatherer().Gather(); err != nil {
			t.Errorf("gather beside traffic: %v", err)
		}
	}
	traffic.Wait()

	if got := value(t, m, `holdfast_requests_total{code="2xx",route="route-3"}`); got != "200" {
		t.Errorf("counted %s requests, want 200", got)
	}
	if got := value(t, m, `holdfast_listener_accepted_total{listener="web"}`); got != "801" {
		t.Errorf("counted %s connections, want 801", got)
	}
}
