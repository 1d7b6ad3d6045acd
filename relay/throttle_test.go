package relay

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A client above its rate is in the middle of a frame when its backend breaks a
// rule: the backend reads the rest of that frame, and then the Close.
func TestThrottledFrameEndsBeforeTheClose(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Guard = &Guard{Throttle: true, Bytes: Rate{1000, 1000}} })
		first := mine(Client, opBinary, strings.Repeat("A", 3000))
		send(t, j.client, append(bytes.Clone(first), mine(Client, opText, "never read")...))
		expect(t, j.backend, string(first[:500])) // it is under way
		send(t, j.backend, mine(Client, opText, "masked"))
		expectClose(t, j.client, Client, faultMasked)
		send(t, j.client, mine(Client, opBinary, strings.Repeat("B", 4000)))
		expect(t, j.backend, string(first[500:]))
		expectClose(t, j.backend, Backend, faultMasked)
		_ = j.client.Close()
		expectEnd(t, j.backend)
	})
}

// What a client has sent above its rate passes on although its backend takes
// nothing for a while, and although Holdfast has said Close meanwhile.
func TestThrottledClientHasItsLastWords(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		id := NewID()
		j := r.join(t, func(k *Call) {
			k.ID, k.Guard = id, &Guard{Throttle: true, Bytes: Rate{20 << 20, 16 << 10}}
		})
		chunk := mine(Client, opBinary, strings.Repeat("x", 64<<10))
		const chunks = 200
		sent := make(chan error, 1)
		go func() {
			for range chunks {
				if _, err := j.client.Write(chunk); err != nil {
					sent <- err
					return
				}
			}
			_, err := j.client.Write(mine(Client, opClose, "\x03\xe9"))
			sent <- err
		}()
		came, since := uint64(0), time.Now()
		testkit.Eventually(t, time.Minute, func() bool {
			if n := r.Stats().Bytes[Client]; n != came {
				came, since = n, time.Now()
			}
			return came > 0 && time.Since(since) > 500*time.Millisecond
		}, "the relay takes no more")
		if !r.End(id, 1001, "bye", time.Minute) {
			t.Fatal("there is no pair to end")
		}
		expectClose(t, j.client, Client, &Fault{1001, "bye"})
		for range chunks {
			expect(t, j.backend, string(chunk))
		}
		if err := within(t, "the last words", sent); err != nil {
			t.Fatal(err)
		}
		expectFrame(t, j.backend, wireFrame{0x80 | opClose, true, "\x03\xe9"})
		_, _ = j.backend.Close(), j.client.Close()
		if s := within(t, "Closed", j.owner.closed); s.Reason != "bye" {
			t.Fatalf("summary %+v", s)
		}
	})
}
