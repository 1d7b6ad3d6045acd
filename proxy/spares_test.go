package proxy

import (
	"log/slog"
	"testing"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/testkit"
	"github.com/holdfast-lb/holdfast/metrics"
)

// No connection is made beforehand to a backend over TLS that wants a PROXY
// header, which must come before TLS. The configuration allows none in the
// list, but discovery may find one.
func TestNoSparesWherePROXYGoesBeforeTLS(t *testing.T) {
	a := testkit.NewAuthority(t)
	f := func(send string, want int) {
		t.Helper()
		cfg := tlsConfigOf(t, a, testkit.FreeAddr(t), testkit.FreeAddr(t))
		pool := cfg.Pools["pool"]
		pool.Warm, pool.SendProxy = 1, send
		pool.Backends[1].URL = "http://" + testkit.FreeAddr(t)
		cfg.Pools["pool"] = pool
		_, rt := compile(t, balancer.NewRegistry(), cfg)
		p := New(Options{Metrics: metrics.New(), Log: slog.New(slog.DiscardHandler)})
		defer p.Close()
		p.Swap(rt)
		if got := len(rt.spares); got != want {
			t.Errorf("send_proxy %q: %d of 2 backends have spares, want %d", send, got, want)
		}
	}
	f("", 2)
	f("v1", 1)
}
