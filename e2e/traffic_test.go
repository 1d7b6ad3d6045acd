package e2e

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// stream writes n numbered frames of up to 64 bytes, in batches.
func stream(w io.Writer, n int, masked bool) error {
	var batch []byte
	for i := range n {
		f := testkit.Binary(message(nil, uint64(i), i%64))
		if masked {
			f = f.Mask()
		}
		if batch = f.Append(batch); len(batch) > 8<<10 || i == n-1 {
			if _, err := w.Write(batch); err != nil {
				return fmt.Errorf("write frame %d: %w", i, err)
			}
			batch = batch[:0]
		}
	}
	return nil
}

// isMessage checks that a frame is the i-th of stream.
func isMessage(i int, f testkit.Frame) error {
	if want := message(nil, uint64(i), i%64); !bytes.Equal(f.Payload, want) {
		return fmt.Errorf("frame %d holds other bytes: %x, want %x", i, f.Payload, want)
	}
	return nil
}

// Small frames fly both ways at once and arrive whole, once and in order; the
// counters agree.
func TestSmallFramesBothWays(t *testing.T) {
	frames := scale(1_000_000, 100_000, 20_000)
	p, h := startLinked(t, "")
	client, backend := link(t, p, h)
	deadline := time.Now().Add(2 * time.Minute)
	_ = client.SetDeadline(deadline)
	_ = backend.SetDeadline(deadline)

	var all sync.WaitGroup
	errs := make(chan error, 4)
	all.Go(func() { errs <- stream(client, frames, true) })
	all.Go(func() { errs <- stream(backend, frames, false) })
	all.Go(func() { errs <- readFrames(client.R, frames, isMessage) })
	all.Go(func() { errs <- readFrames(backend.R, frames, isMessage) })
	all.Wait()
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, direction := range []string{"client_to_backend", "backend_to_client"} {
		got := int(p.metric("holdfast_relay_frames_total", `direction="`+direction+`"`, `opcode="binary"`))
		if got != frames {
			t.Errorf("%s: %d binary frames are counted, want %d", direction, got, frames)
		}
	}
}

// A handshake, its answer and frames that come one byte at a time are the same
// as those that come whole.
func TestOneByteAtATime(t *testing.T) {
	t.Parallel()
	const pause = 100 * time.Microsecond // so that bytes travel alone
	p, h := startLinked(t, "")
	client := testkit.DialTCP(t, p.web)
	client.SendSplit([]byte(testkit.HandshakeRequest(p.web, "/")), 1, pause)
	backend := h.accept()
	backend.SendSplit([]byte(testkit.SwitchingProtocols(readRequest(t, backend))), 1, pause)
	client.Handshaken(patience)

	text := strings.Repeat("holdfast ", 15)
	client.SendSplit(testkit.Text(text).Mask().Append(nil), 1, pause)
	if f := backend.ReadFrame(patience); string(f.Payload) != text {
		t.Errorf("the backend reads %q", f.Payload)
	}
	backend.SendSplit(testkit.Text(text).Append(nil), 1, pause)
	if f := client.ReadFrame(patience); string(f.Payload) != text {
		t.Errorf("the client reads %q", f.Payload)
	}
	client.SendSplit(testkit.Close(4001, "enough").Mask().Append(nil), 1, pause)
	if f := backend.ReadFrame(patience); f.CloseCode() != 4001 {
		t.Errorf("the backend reads close code %d, want 4001", f.CloseCode())
	}
	if n := p.metric("holdfast_relay_frames_total", `opcode="text"`); n != 2 {
		t.Errorf("%v text frames are counted, want 2", n)
	}
}

// A message of 16 MiB passes as one frame and in fragments with a Ping between
// them.
func TestLargeMessages(t *testing.T) {
	t.Parallel()
	size := scale(16<<20, 16<<20, 4<<20)
	p, h := startLinked(t, "")
	client, backend := link(t, p, h)
	payload := make([]byte, size)
	_, _ = io.ReadFull(&endless{}, payload)

	f := func(from, to *testkit.TCP, frames ...testkit.Frame) {
		t.Helper()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			var b []byte
			for _, frame := range frames {
				b = frame.Append(b)
			}
			_ = from.SetWriteDeadline(time.Now().Add(patience))
			_, _ = from.Write(b)
		}()
		for i, want := range frames {
			if got := to.ReadFrame(patience); got.Opcode != want.Opcode || got.Fin != want.Fin || !bytes.Equal(got.Payload, want.Payload) {
				t.Errorf("frame %d of %d bytes arrives as opcode %d with %d bytes", i, len(want.Payload), got.Opcode, len(got.Payload))
			}
		}
		<-sent
	}
	f(client, backend, testkit.Binary(payload).Mask())
	f(backend, client, testkit.Binary(payload))

	half := size/2 + 7
	first, last := testkit.Binary(payload[:half]), testkit.Binary(payload[half:])
	first.Fin, last.Opcode = false, testkit.OpContinuation
	f(client, backend, first.Mask(), testkit.Control(testkit.OpPing, "are you there").Mask(), last.Mask())
	f(backend, client, first, testkit.Control(testkit.OpPing, "are you there"), last)
}

// awaitStall waits until a count of bytes has begun to grow and grows no more,
// and returns it.
func awaitStall(t testing.TB, bytes *atomic.Int64) int64 {
	t.Helper()
	last, since := int64(0), time.Now()
	testkit.Eventually(t, patience, func() bool {
		if now := bytes.Load(); now != last {
			last, since = now, time.Now()
		}
		return last > 0 && time.Since(since) > 300*time.Millisecond
	}, "the sender is stopped")
	return last
}

// A peer that reads nothing stops the other side, at little memory; once it
// reads again, everything arrives. Other sockets notice nothing.
func TestBackPressure(t *testing.T) {
	total := scale(256<<20, 64<<20, 32<<20)
	const size = 64 << 10
	frames := total / size
	p, h := startLinked(t, "")
	other, otherBackend := link(t, p, h)

	f := func(from, to *testkit.TCP, masked bool) {
		t.Helper()
		_ = to.SetReadBuffer(64 << 10) // so that the kernel does not take it all
		var sent atomic.Int64
		written := make(chan error, 1)
		go func() {
			_ = from.SetWriteDeadline(time.Now().Add(2 * time.Minute))
			var b []byte
			for i := range frames {
				f := testkit.Binary(message(nil, uint64(i), size))
				if masked {
					f = f.Mask()
				}
				b = f.Append(b[:0])
				n, err := from.Write(b)
				sent.Add(int64(n))
				if err != nil {
					written <- err
					return
				}
			}
			written <- nil
		}()
		if last := awaitStall(t, &sent); last >= int64(total) {
			t.Fatalf("all %d bytes were taken on behalf of a peer that reads nothing", last)
		}
		other.SendFrames(testkit.Text("hello").Mask())
		if got := otherBackend.ReadFrame(patience); string(got.Payload) != "hello" {
			t.Errorf("another socket reads %q meanwhile", got.Payload)
		}
		_ = to.SetReadDeadline(time.Now().Add(2 * time.Minute))
		err := readFrames(to.R, frames, func(i int, f testkit.Frame) error {
			if !bytes.Equal(f.Payload, message(nil, uint64(i), size)) {
				return fmt.Errorf("frame %d holds other bytes", i)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
	}
	client, backend := link(t, p, h)
	for _, direction := range []func(){
		func() { f(client, backend, true) },
		func() { f(backend, client, false) },
	} {
		if grown := p.grown(direction); grown > 8<<20 {
			t.Errorf("the process grew by %.1f MiB", float64(grown)/(1<<20))
		}
	}
}
