package e2e

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Messages leave nothing behind: what the process has after the first tenth of
// them, it has after all of them. -long sends ten million, of which a byte each
// would show.
func TestMessagesLeaveNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("measures resident memory of a process, on Linux")
	}
	const sockets, burst, allowed = 50, 100, 8 << 20
	total := scale(10_000_000, 200_000, 50_000)
	a := startArena(t, "a")
	p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web, websocket: {ping_interval: 60s, max_message_bytes: 1MiB, check_utf8: true}}]\n" + pool("web", []string{a.Addr})})
	peers := openPeers(t, p.web, "/", sockets)
	say := func(n int) {
		t.Helper()
		var all sync.WaitGroup
		errs := make(chan error, sockets)
		for _, c := range peers {
			all.Go(func() {
				for range n / sockets / burst {
					if err := c.burst(burst); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		all.Wait()
		select {
		case err := <-errs:
			t.Fatal(err)
		default:
		}
	}
	say(total / 10)
	before := p.memory("RssAnon:")
	say(total - total/10)
	grown := p.memory("RssAnon:") - before
	said := p.metric("holdfast_relay_frames_total", `direction="client_to_backend"`, `opcode="text"`)
	t.Logf("%.0f messages each way: %d KiB before, %d KiB more behind the last", said, before>>10, grown>>10)
	if int(said) != total {
		t.Errorf("%.0f messages counted, %d sent", said, total)
	}
	if grown > allowed && !raceEnabled { // the detector's shadow memory is not ours
		t.Errorf("the process has grown by %d KiB over %d messages", grown>>10, total)
	}
}

// burst sends n messages at once and reads them back.
func (p *peer) burst(n int) error {
	var b []byte
	for range n {
		b = testkit.Text("a message of the size that games send, sixty bytes or so").Mask().Append(b)
	}
	_ = p.SetDeadline(time.Now().Add(patience))
	if _, err := p.Write(b); err != nil {
		return err
	}
	for range n {
		if _, err := testkit.ReadFrame(p.r); err != nil {
			return err
		}
	}
	return nil
}
