package metrics

import (
	"fmt"
	"testing"
)

func TestRefusalsAreCountedByReason(t *testing.T) {
	f := func(reason Refusal, name string) {
		t.Helper()
		m := New()
		m.Listener("web").Refused(reason)
		if got := value(t, m, fmt.Sprintf(`holdfast_listener_refused_total{listener="web",reason=%q}`, name)); got != "1" {
			t.Errorf("reason %s counts %q, want 1", reason, got)
		}
	}

	f(RefusedMaxConnections, "max_connections")
	f(RefusedMaxConnectionsPerIP, "max_connections_per_ip")
	f(RefusedHandshakeRate, "handshake_rate")
	f(RefusedDescriptors, "descriptors")

	if got := refusals.String(); got != "unknown" {
		t.Errorf("a reason out of range is called %q, want unknown", got)
	}
}
