package relay

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// flood has a side send frames until it is closed, and returns once the relay
// takes no more of them.
func (r rig) flood(t *testing.T, c *peer, from int) {
	t.Helper()
	go func() {
		for chunk := mine(from, opBinary, strings.Repeat("x", 64<<10)); ; {
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	}()
	// A second is long enough for a relay that has to wait for a processor.
	came, since := uint64(0), time.Now()
	testkit.Eventually(t, time.Minute, func() bool {
		if n := r.Stats().Bytes[from]; n != came {
			came, since = n, time.Now()
		}
		return came > 0 && time.Since(since) > time.Second
	}, "the relay takes no more")
}

// A client that has not read earlier answers is not writable, and so gives no
// event: its handshake has its deadlines all the same.
func TestUnwritableClientHasDeadlines(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		l := listen(t)
		b := r.backend(t, l)
		_, at := r.client(t)
		for chunk := make([]byte, 64<<10); ; {
			if n, errno := sys.Send(at.fd, chunk); errno != 0 || n == 0 {
				break // the buffer is full
			}
		}
		o := newOwner()
		k := r.call(at, addr(l), o)
		k.Used, k.Answer = true, time.Second
		if err := r.Open(k); err != nil {
			t.Fatal(err)
		}
		bc := within(t, "connection", b)
		defer bc.Close()
		f := within(t, "Failed", o.failed)
		sys.Close(f.Client)
		if f.Cause != AnswerTimeout {
			t.Fatalf("cause %d, want %d", f.Cause, AnswerTimeout)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.Farewell(ctx, 1001, ""); err != nil {
			t.Fatal(err)
		}
	})
}

// A reset is seen although the other side takes nothing, so that the one that
// was reset is not being read. A client's is the end of the pair; what had come
// from a backend is kept for its client.
func TestResetUnderBackPressure(t *testing.T) {
	t.Parallel()
	loops(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		r.flood(t, j.client, Client)
		j.client.reset()
		if s := within(t, "Closed", j.owner.closed); s.Ender != ByClient || s.Reason != "reset" {
			t.Fatalf("summary %+v", s)
		}

		j = r.join(t, nil)
		before := r.Stats().Bytes[Backend]
		r.flood(t, j.backend, Backend)
		j.backend.reset()
		time.Sleep(lastWords + 200*time.Millisecond) // the client is busy
		arrived := r.Stats().Bytes[Backend] - before
		if got, _ := io.Copy(io.Discard, j.client); uint64(got) < arrived {
			t.Errorf("the client has read %d bytes, %d had arrived", got, arrived)
		}
		_ = j.client.Close()
		if s := within(t, "Closed", j.owner.closed); s.Ender != ByBackend || s.Reason != "reset" {
			t.Errorf("summary %+v", s)
		}
	})
}

// A backend says a lot and dies; its client, still talking, reads all that had
// arrived, although the talk is answered with a reset. (What had not left the
// backend's machine dies with it.)
func TestBurstOfADyingBackendArrives(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		const sent = 1 << 20
		send(t, j.backend, make([]byte, sent))
		testkit.Eventually(t, 10*time.Second, func() bool { return r.Stats().Bytes[Backend] == sent }, "arrival at the relay")
		_ = j.backend.Close()
		ping := appendFrame(nil, 9, true, []byte("there?"))
		for range 3 {
			send(t, j.client, ping)
		}
		testkit.Eventually(t, 10*time.Second, func() bool { return r.Stats().Bytes[Client] >= uint64(len(ping)) }, "pings")
		got, err := io.Copy(io.Discard, j.client)
		if err != nil || got != int64(sent) {
			t.Fatalf("read %d bytes (%v), the backend had sent %d", got, err, sent)
		}
		_ = j.client.Close()
		within(t, "Closed", j.owner.closed)
	})
}

// An Open that fails leaves the client's descriptor alone.
func TestFailedOpenLeavesTheDescriptor(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		r.Close()
		c, at := r.client(t)
		defer sys.Close(at.fd)
		l := listen(t)
		if err := r.Open(r.call(at, addr(l), newOwner())); err == nil {
			t.Fatal("a stopped relay opened a pair")
		}
		if err := at.tell("still here"); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "still here")
	})
}

// A backend that was reset has ended for its client too when a message to it is
// what meets the reset.
func TestResetMetByAMessage(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		// Another pair's owner holds the loop up, so that message and reset are
		// both there when it looks, in this order.
		l := listen(t)
		b := r.backend(t, l)
		_, at := r.client(t)
		o := newOwner()
		held, release := make(chan struct{}), make(chan struct{})
		o.answer = func([]byte, []byte) ([]byte, error) {
			close(held)
			<-release
			return nil, errors.New("no")
		}
		if err := r.Open(r.call(at, addr(l), o)); err != nil {
			t.Fatal(err)
		}
		bc := within(t, "connection to the backend", b)
		defer bc.Close()
		send(t, bc, []byte(switching))
		within(t, "Answer", held)
		send(t, j.client, appendFrame(nil, 1, true, []byte("to nobody")))
		j.backend.reset()
		close(release)
		f := within(t, "Failed", o.failed)
		sys.Close(f.Client)
		sys.Close(f.Backend)
		s := within(t, "Closed", j.owner.closed)
		if s.Ender != ByBackend || s.Reason != "reset" {
			t.Errorf("summary %+v", s)
		}
		expectEnd(t, j.client)
	})
}

// A backend dies of our farewell, after its client's answer: that is an end like
// any other, at once.
func TestResetWhileLeaving(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { done <- r.Farewell(ctx, 1001, "bye") }()
		expectClose(t, j.client, Client, &Fault{1001, "bye"})
		answer := mine(Client, opClose, "\x03\xe9")
		send(t, j.client, answer)
		expect(t, j.backend, string(answer))
		j.backend.reset()
		expectEnd(t, j.client)
		if err := within(t, "Farewell", done); err != nil || r.Stats().Cut != 0 {
			t.Fatalf("%d pairs were cut, error %v", r.Stats().Cut, err)
		}
		if s := within(t, "Closed", j.owner.closed); s.Reason != "bye" || s.Ender != ByHoldfast {
			t.Fatalf("summary %+v", s)
		}
	})
}

// A pair that is ending since a side was reset is not given more time by an
// order to end.
func TestAnOrderGivesADyingPairNoTime(t *testing.T) {
	t.Parallel()
	loops(t, func(t *testing.T, r rig) {
		id := NewID()
		j := r.join(t, func(k *Call) { k.ID = id })
		r.flood(t, j.client, Client)
		j.client.reset()
		r.End(id, 1001, "bye", time.Minute)
		if s := within(t, "Closed", j.owner.closed); s.Ender != ByClient || s.Reason != "reset" {
			t.Fatalf("summary %+v", s)
		}
	})
}
