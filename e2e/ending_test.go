package e2e

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// eachWay runs f for both directions, each on a new WebSocket.
func eachWay(t *testing.T, p *process, h *handmade, f func(from, to *testkit.TCP)) {
	t.Helper()
	client, backend := link(t, p, h)
	f(client, backend)
	client, backend = link(t, p, h)
	f(backend, client)
}

// One side may end and still be spoken to.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	const size = 4 << 20
	eachWay(t, p, h, func(from, to *testkit.TCP) {
		from.SendFrames(testkit.Text("last words"))
		if err := from.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if f := to.ReadFrame(patience); string(f.Payload) != "last words" {
			t.Errorf("the other side reads %q", f.Payload)
		}
		to.ExpectEOF(patience)
		var sending sync.WaitGroup
		sending.Go(func() {
			_ = to.SetWriteDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(to, strings.Repeat("x", size))
			_ = to.CloseWrite()
		})
		if got := from.ReadAll(patience); len(got) != size {
			t.Errorf("%d bytes come back after the end, want %d", len(got), size)
		}
		sending.Wait()
	})
	p.awaitIdle("web")
}

// A reset on one side is one on the other.
func TestResetTravels(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	eachWay(t, p, h, func(from, to *testkit.TCP) {
		from.Reset()
		to.ExpectReset(patience)
	})
	p.awaitIdle("web")
}

// What was sent before a reset arrives before it. While those bytes are on
// their way the other side gets its end behind them, so that it may be a FIN.
func TestLastWordsBeforeReset(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	eachWay(t, p, h, func(from, to *testkit.TCP) {
		from.SendFrames(testkit.Text("last words"))
		if f := to.ReadFrame(patience); string(f.Payload) != "last words" {
			t.Errorf("the other side reads %q", f.Payload)
		}
		from.Reset()
		to.ExpectClosed(patience)
	})
	p.awaitIdle("web")
}

// A Close passes with its code, its answer too, and then both connections end.
func TestCloseHandshake(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	eachWay(t, p, h, func(from, to *testkit.TCP) {
		from.SendFrames(testkit.Close(4321, "that is all"))
		if f := to.ReadFrame(patience); f.Opcode != testkit.OpClose || f.CloseCode() != 4321 || string(f.Payload[2:]) != "that is all" {
			t.Errorf("the other side reads %+v", f)
		}
		to.SendFrames(testkit.Close(4321, ""))
		if f := from.ReadFrame(patience); f.CloseCode() != 4321 {
			t.Errorf("the answer is %+v", f)
		}
		to.Close()
		from.ExpectClosed(patience)
	})
	p.awaitIdle("web")
}

// A socket that is silent both ways for timeouts.idle is ended with a Close
// 1001 for its client; a word from either side is enough to stay.
func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	const idle = 2 * time.Second // ten times the pace of those who talk, for a busy machine
	p, h := startLinked(t, "timeouts: {idle: "+idle.String()+"}")
	began := time.Now()
	silent, silentBackend := link(t, p, h)
	talking, talkingBackend := link(t, p, h)
	listening, listeningBackend := link(t, p, h)

	var words sync.WaitGroup
	over := make(chan struct{})
	words.Go(func() {
		tick := time.NewTicker(idle / 10)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
				_, _ = talking.Write(testkit.Text("client").Mask().Append(nil))
				_, _ = listeningBackend.Write(testkit.Text("backend").Append(nil))
			}
		}
	})
	f := silent.ReadFrame(patience)
	if f.Opcode != testkit.OpClose || f.CloseCode() != 1001 {
		t.Errorf("a silent client reads %+v, want a Close 1001", f)
	}
	if took := time.Since(began); took < idle || took > idle+patience {
		t.Errorf("the Close comes after %v of silence, want about %v", took, idle)
	}
	silent.SendFrames(testkit.Close(1001, "").Mask())
	silent.ExpectClosed(patience)
	_ = silentBackend.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, silentBackend.R); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the backend of a silent client: %v", err)
	}
	// The others have outlived one idle timeout by now and soon a second half.
	for time.Since(began) < 3*idle/2 {
		if f := talkingBackend.ReadFrame(patience); string(f.Payload) != "client" {
			t.Fatalf("the talking client's backend reads %+v", f)
		}
		if f := listening.ReadFrame(patience); string(f.Payload) != "backend" {
			t.Fatalf("the listening client reads %+v", f)
		}
	}
	close(over)
	words.Wait()
}
