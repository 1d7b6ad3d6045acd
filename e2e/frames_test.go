package e2e

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// What a route's websocket keys ask for: both sides read why a socket ends,
// nothing of the frame reaches the backend, and the log has the failure's code.
func TestRouteGuardsFrames(t *testing.T) {
	t.Parallel()
	big := testkit.Text(strings.Repeat("x", 5000)).Mask()
	parts := []testkit.Frame{big, big}
	parts[0].Fin, parts[1].Opcode = false, testkit.OpContinuation
	f := func(keys string, code uint16, page string, passes int, frames ...testkit.Frame) {
		t.Helper()
		p, h := startLinked(t, "websocket: {"+keys+"}")
		client, backend := link(t, p, h)
		client.SendFrames(frames...)
		for range passes {
			if got := backend.ReadFrame(patience); len(got.Payload) != 5000 {
				t.Fatalf("{%s}: the backend read %+v", keys, got)
			}
		}
		for _, side := range []*testkit.TCP{client, backend} {
			got := side.ReadFrame(patience)
			if got.Opcode != testkit.OpClose || got.CloseCode() != code || got.Masked != (side == backend) {
				t.Fatalf("{%s}: read %+v, want Close %d", keys, got, code)
			}
		}
		_ = client.Close()
		_ = backend.Close()
		testkit.Eventually(t, patience, func() bool { return strings.Contains(p.read("access.log"), page) }, page+" in the access log")
	}
	f("max_message_bytes: 9000", 1009, "HF-7010", 1, parts...)
	f("max_frame_bytes: 4999", 1009, "HF-7010", 0, big)
	f("messages_per_second: 1", 1008, "HF-7009", 1, big, big)
	f("bytes_per_second: 4000", 1008, "HF-7009", 0, big)
	f("strict: true", 1002, "HF-7007", 0, testkit.Text("unmasked"))
	f("check_utf8: true", 1007, "HF-7008", 0, testkit.Text("\xff").Mask())
}

// Without these keys frames pass as they are, whatever they are.
func TestFramesPassUnjudged(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	client, backend := link(t, p, h)
	odd := testkit.Frame{Fin: true, RSV: 7, Opcode: 11, Payload: []byte(strings.Repeat("x", 200))}
	client.SendFrames(odd)
	if got := backend.ReadFrame(patience); got.Opcode != 11 || got.RSV != 7 || got.Masked || len(got.Payload) != 200 {
		t.Fatalf("the backend read %+v", got)
	}
}

// Answered Pings are in the ledger and in the metrics; the backend sees none.
func TestRoundTripsAreShown(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "websocket: {ping_interval: 1s}")
	client, backend := link(t, p, h)
	ping := client.ReadFrame(patience)
	if ping.Opcode != testkit.OpPing || len(ping.Payload) != 8 {
		t.Fatalf("read %+v, want a Ping", ping)
	}
	client.SendFrames(testkit.Control(testkit.OpPong, string(ping.Payload)).Mask(), testkit.Text("hello").Mask())
	if got := backend.ReadFrame(patience); string(got.Payload) != "hello" {
		t.Fatalf("the backend read %+v", got)
	}
	_, text, err := p.adminGet("/metrics")
	if want := `holdfast_socket_round_trip_seconds_count{backend="b1",pool="web",side="client"} 1`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("the metrics lack %s (%v)", want, err)
	}
	_, text, err = p.adminGet("/api/v1/sockets")
	if err != nil || strings.Contains(string(text), `"round_trip_seconds":null`) {
		t.Errorf("the ledger knows no round trip: %s (%v)", text, err)
	}
}

// A side that stands still is found out by Pings, and the other one told.
func TestSilentSideIsFound(t *testing.T) {
	t.Parallel()
	f := func(keys, reason, page string, silent func(client, backend *testkit.TCP) (other *testkit.TCP)) {
		t.Helper()
		p, h := startLinked(t, "websocket: {ping_interval: 1s"+keys+"}")
		client, backend := link(t, p, h)
		other := silent(client, backend)
		for {
			got := other.ReadFrame(patience)
			if got.Opcode == testkit.OpPing {
				pong := testkit.Control(testkit.OpPong, string(got.Payload))
				if other == client {
					pong = pong.Mask()
				}
				other.SendFrames(pong)
				continue
			}
			if want := "\x03\xe9" + reason; got.Opcode != testkit.OpClose || string(got.Payload) != want {
				t.Fatalf("read %+v, want Close %q", got, want)
			}
			break
		}
		_ = client.Close()
		_ = backend.Close()
		testkit.Eventually(t, patience, func() bool { return strings.Contains(p.read("access.log"), page) }, page+" in the access log")
	}
	f("", "client answers no ping", "HF-7005", func(_, b *testkit.TCP) *testkit.TCP { return b })
	f(", ping_backend: true", "backend answers no ping", "HF-7006", func(c, _ *testkit.TCP) *testkit.TCP { return c })
}
