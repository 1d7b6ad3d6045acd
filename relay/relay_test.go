package relay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) {
	testkit.Parallel(8)
	testkit.Main(m)
}

const handshake = "GET /ws HTTP/1.1\r\nHost: game\r\n\r\n"
const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

// owner records what becomes of a pair.
type owner struct {
	answer func(dst, head []byte) ([]byte, error)
	opened chan struct{}
	failed chan Failure
	closed chan Summary
	trips  chan trip
}

type trip struct {
	side int
	took time.Duration
}

func newOwner() *owner {
	return &owner{
		answer: func(dst, head []byte) ([]byte, error) { return append(dst, head...), nil },
		opened: make(chan struct{}, 1), failed: make(chan Failure, 1), closed: make(chan Summary, 1), trips: make(chan trip, 1000),
	}
}

func (o *owner) Answer(dst, head []byte) ([]byte, error) { return o.answer(dst, head) }
func (o *owner) Opened()                                 { o.opened <- struct{}{} }
func (o *owner) RoundTrip(side int, d time.Duration)     { o.trips <- trip{side, d} }
func (o *owner) Failed(f Failure)                        { o.failed <- f }
func (o *owner) Closed(s Summary)                        { o.closed <- s }

func within[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10 s", what)
	}
	return v
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func addr(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// steady reads as long as something comes once in a while: how long all of it
// takes is the machine's affair.
type steady struct{ net.Conn }

func (c steady) Read(b []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	return c.Conn.Read(b)
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q (%v), want %q", b[:n], err, want)
	}
}

func expectEnd(t *testing.T, c net.Conn) error {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := c.Read(make([]byte, 1))
	if n != 0 || err == nil || isTimeout(err) {
		t.Fatalf("read %d bytes (%v), want the end of the stream", n, err)
	}
	return err
}

func send(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestBytesBehindBothHandshakesArrive(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		l := listen(t)
		b := r.backend(t, l)
		c, at := r.client(t)
		o := newOwner()
		k := r.call(at, addr(l), o)
		k.Early = appendFrame(nil, 1, true, []byte("early bird"))
		if err := r.Open(k); err != nil {
			t.Fatal(err)
		}
		bc := within(t, "connection", b)
		defer bc.Close()
		hello := appendFrame(nil, 2, false, []byte("hello"))
		send(t, bc, append([]byte("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+switching), hello...))
		expect(t, c, switching+string(hello))
		expect(t, bc, string(k.Early))
		_ = c.Close()
		expectEnd(t, bc)
		_ = bc.Close()
		s := within(t, "Closed", o.closed)
		if s.Bytes != [2]uint64{uint64(len(k.Early)), uint64(len(hello))} || s.Frames != [2]uint64{1, 1} || s.Ender != ByClient || s.Code != 1006 {
			t.Fatalf("summary %+v", s)
		}
	})
}

func TestAnswerInPieces(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		l := listen(t)
		b := r.backend(t, l)
		c, at := r.client(t)
		o := newOwner()
		if err := r.Open(r.call(at, addr(l), o)); err != nil {
			t.Fatal(err)
		}
		bc := within(t, "connection", b)
		defer bc.Close()
		for i := range len(switching) {
			send(t, bc, []byte{switching[i]})
			if i%8 == 0 {
				runtime.Gosched()
			}
		}
		expect(t, c, switching)
	})
}

// frames writes n numbered frames of random sizes and returns their checksum.
func frames(w io.Writer, seed uint64, n, size int, masked bool) (sum uint32, err error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	h := crc32.NewIEEE()
	payload := make([]byte, size)
	var b []byte
	for i := range n {
		k := 8 + rng.IntN(size-7)
		binary.BigEndian.PutUint64(payload, uint64(i))
		b = appendFrame(b[:0], 2, masked, payload[:k])
		_, _ = h.Write(b)
		if _, err = w.Write(b); err != nil {
			return 0, err
		}
	}
	return h.Sum32(), nil
}

func TestSmallFramesBothWays(t *testing.T) {
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 10_000
	}
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		var sent, got [2]uint32
		var all sync.WaitGroup
		for side, c := range []*peer{j.client, j.backend} {
			all.Go(func() {
				var err error
				if sent[side], err = frames(c, uint64(side), n, 64, side == Client); err != nil {
					t.Error(err)
				}
				_ = c.CloseWrite()
			})
			all.Go(func() {
				h := crc32.NewIEEE()
				if _, err := io.Copy(h, c); err != nil {
					t.Error(err)
				}
				got[side] = h.Sum32()
			})
		}
		all.Wait()
		if sent[Client] != got[Backend] || sent[Backend] != got[Client] {
			t.Fatalf("checksums differ: sent %x, received %x", sent, got)
		}
		s := within(t, "Closed", j.owner.closed)
		if s.Frames != [2]uint64{uint64(n), uint64(n)} {
			t.Fatalf("frames %v, want %d each way", s.Frames, n)
		}
	})
}

func TestLargeMessage(t *testing.T) {
	t.Parallel()
	size := 16 << 20
	if raceEnabled {
		size /= 4
	}
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		rng := rand.New(rand.NewPCG(3, 4))
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(rng.Uint32())
		}
		whole := appendFrame(nil, 2, true, payload)
		go func() { _, _ = j.client.Write(whole) }()
		got := make([]byte, len(whole))
		if _, err := io.ReadFull(steady{j.backend}, got); err != nil || !bytes.Equal(got, whole) {
			t.Fatalf("a message of %d bytes was changed on its way (%v)", size, err)
		}
	})
}

// A peer that reads nothing holds up the one that sends, and costs no memory;
// once it reads, all is there in order.
func TestBackPressure(t *testing.T) {
	total := 64 << 20 // the tests of the binary do it with four times as much
	if raceEnabled {
		total /= 2
	}
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		chunk := make([]byte, 1<<16)
		var sum uint32
		done := make(chan error, 1)
		go func() {
			h := crc32.NewIEEE()
			for i := 0; i < total; i += len(chunk) {
				binary.BigEndian.PutUint32(chunk, uint32(i))
				_, _ = h.Write(chunk)
				if _, err := j.backend.Write(chunk); err != nil {
					done <- err
					return
				}
			}
			sum = h.Sum32()
			done <- nil
		}()
		// The sender comes to a halt: the counter stands still.
		var last uint64
		testkit.Eventually(t, 20*time.Second, func() bool {
			now := r.Stats().Bytes[Backend]
			still := now == last && now > 0
			last = now
			time.Sleep(100 * time.Millisecond) // the length of the stillness that counts
			return still
		}, "a halt of the sender")
		if last >= uint64(total) {
			t.Fatalf("all %d bytes were taken from the sender while nobody read", total)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
			t.Fatalf("heap grew by %d bytes for one slow peer", grown)
		}
		h := crc32.NewIEEE()
		if _, err := io.CopyN(h, steady{j.client}, int64(total)); err != nil {
			t.Fatal(err)
		}
		if err := within(t, "end of the sender", done); err != nil || h.Sum32() != sum {
			t.Fatalf("checksum %x, want %x (%v)", h.Sum32(), sum, err)
		}
	})
}

func TestHalfClose(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		send(t, j.client, appendFrame(nil, 1, true, []byte("last words")))
		_ = j.client.CloseWrite()
		expect(t, j.backend, string(appendFrame(nil, 1, true, []byte("last words"))))
		expectEnd(t, j.backend)
		answer := string(appendFrame(nil, 1, false, []byte("answer after the end")))
		send(t, j.backend, []byte(answer))
		expect(t, j.client, answer)
		_ = j.backend.Close()
		if err := expectEnd(t, j.client); !errors.Is(err, io.EOF) {
			t.Fatalf("client sees %v, want an orderly end", err)
		}
		s := within(t, "Closed", j.owner.closed)
		if s.Ender != ByClient || s.Reason != "end of stream" {
			t.Fatalf("summary %+v", s)
		}
	})
}

func TestResetTravels(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		for _, from := range []int{Client, Backend} {
			j := r.join(t, nil)
			broken, other := j.client, j.backend
			if from == Backend {
				broken, other = other, broken
			}
			broken.reset()
			began := time.Now()
			expectEnd(t, other)
			if d := time.Since(began); d > 5*time.Second {
				t.Fatalf("the end took %v", d)
			}
			s := within(t, "Closed", j.owner.closed)
			if s.Ender != ender(from) || s.Reason != "reset" {
				t.Fatalf("summary %+v", s)
			}
		}
	})
}

// A backend that answers, closes at once and leaves unread bytes behind resets
// its connection. What it said before reaches the client.
func TestLastWordsOfABackendThatResets(t *testing.T) {
	t.Parallel()
	loops(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		send(t, j.client, appendFrame(nil, 1, true, []byte("never read")))
		last := string(appendClose(nil, Client, 1011, "out of memory"))
		testkit.Eventually(t, 10*time.Second, func() bool { return r.Stats().Bytes[Client] > 0 }, "client's bytes")
		send(t, j.backend, []byte(last))
		_ = j.backend.Close()
		expect(t, j.client, last)
		expectEnd(t, j.client)
		if s := within(t, "Closed", j.owner.closed); s.Ender != ByBackend || s.Code != 1011 {
			t.Fatalf("summary %+v", s)
		}
	})
}

func TestCloseCodeIsTold(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		hello := appendFrame(nil, 1, true, []byte("hello"))
		send(t, j.client, hello)
		expect(t, j.backend, string(hello))
		bye := appendFrame(nil, 8, true, []byte{0x03, 0xe8, 'b', 'y', 'e'})
		send(t, j.client, bye)
		expect(t, j.backend, string(bye))
		back := appendClose(nil, Client, 1000, "bye")
		send(t, j.backend, back)
		expect(t, j.client, string(back))
		_ = j.backend.Close()
		expectEnd(t, j.client)
		_ = j.client.Close()
		s := within(t, "Closed", j.owner.closed)
		size := [2]uint64{uint64(len(hello) + len(bye)), uint64(len(back))}
		if s.Code != 1000 || s.Ender != ByClient || s.Reason != "close frame" || s.Bytes != size {
			t.Fatalf("summary %+v, want %d bytes", s, size)
		}
	})
}

func TestIdle(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		j := r.join(t, func(k *Call) { k.Idle = 200 * time.Millisecond })
		want := string(appendClose(nil, Client, 1001, "idle timeout"))
		expect(t, j.client, want)
		expectEnd(t, j.client)
		s := within(t, "Closed", j.owner.closed)
		if s.Code != 1001 || s.Ender != ByHoldfast || s.Reason != "idle timeout" || s.Opened < 200*time.Millisecond {
			t.Fatalf("summary %+v", s)
		}
	})
}

// A socket that talks, even one way only, is not idle.
func TestTalkingIsNotIdle(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		t.Parallel()
		j := r.join(t, func(k *Call) { k.Idle = 3 * time.Second })
		frame := appendFrame(nil, 1, false, []byte("tick"))
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 40 {
			<-tick.C
			send(t, j.backend, frame)
			expect(t, j.client, string(frame))
		}
		if n := r.Stats().Pairs; n != 1 {
			t.Fatalf("%d pairs, want 1", n)
		}
	})
}

func TestFarewell(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		quiet := []joined{r.join(t, nil), r.join(t, nil)} // one on each loop
		busy := r.join(t, nil)
		// The backend is in the middle of a frame: the Close waits for its end.
		frame := appendFrame(nil, 2, false, make([]byte, 1000))
		send(t, busy.backend, frame[:500])
		expect(t, busy.client, string(frame[:500]))

		result := make(chan error, 1)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		go func() { result <- r.Farewell(ctx, 1001, "going away") }()

		bye := string(appendClose(nil, Client, 1001, "going away"))
		for _, j := range quiet {
			expect(t, j.client, bye)
		}
		r.told(t)
		send(t, busy.backend, append(bytes.Clone(frame[500:]), "never delivered"...))
		expect(t, busy.client, string(frame[500:])+bye)
		// Each client's own Close reaches its backend, which then ends.
		for _, j := range append(quiet, busy) {
			mine := appendFrame(nil, 8, true, []byte{0x03, 0xe9})
			send(t, j.client, mine)
			expect(t, j.backend, string(mine))
			_ = j.backend.Close()
			expectEnd(t, j.client)
			_ = j.client.Close()
			s := within(t, "Closed", j.owner.closed)
			if s.Code != 1001 || s.Ender != ByHoldfast || s.Reason != "going away" {
				t.Fatalf("summary %+v", s)
			}
		}
		if err := within(t, "Farewell", result); err != nil {
			t.Fatal(err)
		}
		_, at := r.client(t)
		defer sys.Close(at.fd)
		if err := r.Open(r.call(at, netip.MustParseAddrPort("127.0.0.1:9"), newOwner())); !errors.Is(err, ErrStopping) {
			t.Fatalf("Open after Farewell: %v", err)
		}
	})
}

// A client that answers nothing, and one whose backend never ends its frame,
// are cut at the deadline.
func TestFarewellDeadline(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, r rig) {
		deaf := r.join(t, nil)
		stuck := r.join(t, nil)
		frame := appendFrame(nil, 2, false, make([]byte, 1000))
		send(t, stuck.backend, frame[:10])
		expect(t, stuck.client, string(frame[:10]))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := r.Farewell(ctx, 1001, "going away")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the farewell ends with %v, want both sockets past their time", err)
		}
		expect(t, deaf.client, string(appendClose(nil, Client, 1001, "going away")))
		expectEnd(t, deaf.client)
		expectEnd(t, stuck.client)
		within(t, "Closed", deaf.owner.closed)
		within(t, "Closed", stuck.owner.closed)
	})
}

func TestFailures(t *testing.T) {
	t.Parallel()
	silentListener := func(t *testing.T) net.Listener { return listen(t) }
	f := func(name string, want Cause, l func(*testing.T) net.Listener, edit func(*Call), during func(t *testing.T, c, b *peer)) {
		t.Helper()
		answered := want == AnswerTooLarge || strings.HasSuffix(name, "in its answer")
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, r rig) {
				ln := l(t)
				o := newOwner()
				c, at := r.client(t)
				k := r.call(at, addr(ln), o)
				if edit != nil {
					edit(k)
				}
				var b <-chan *peer
				if during != nil {
					b = r.backend(t, ln)
				}
				if want == ConnectFailed {
					_ = ln.Close()
				}
				if err := r.Open(k); err != nil {
					t.Fatal(err)
				}
				if during != nil {
					bc := within(t, "connection", b)
					defer bc.Close()
					during(t, c, bc)
				}
				got := within(t, "Failed", o.failed)
				defer sys.Close(got.Client)
				if got.Backend >= 0 {
					defer sys.Close(got.Backend)
				}
				if got.Cause != want {
					t.Fatalf("cause %d (%v), want %d", got.Cause, got.Err, want)
				}
				if got.Answered != answered {
					t.Fatalf("answered %t, want %t", got.Answered, answered)
				}
				if want == NotUpgraded && (got.Backend < 0 || !strings.HasPrefix(string(got.Received), "HTTP/1.1 403 ")) {
					t.Fatalf("backend %d, received %q", got.Backend, got.Received)
				}
				if want != ClientGone {
					// The client is alive and can be told.
					if err := (place{got.Client, at.tls}).tell("sorry"); err != nil {
						t.Fatalf("client's descriptor: %v", err)
					}
					expect(t, c, "sorry")
				}
			})
		})
	}
	f("refused", ConnectFailed, silentListener, nil, nil)
	f("never answers", AnswerTimeout, silentListener, func(k *Call) { k.Answer = time.Second }, func(*testing.T, *peer, *peer) {})
	f("ends before it answers", BackendEnded, silentListener, nil, func(_ *testing.T, _, b *peer) { _ = b.Close() })
	f("ends in its answer", BackendEnded, silentListener, nil, func(t *testing.T, _, b *peer) {
		send(t, b, []byte(switching[:20]))
		_ = b.Close()
	})
	f("another answer", NotUpgraded, silentListener, func(k *Call) {
		k.Owner.(*owner).answer = func(dst, _ []byte) ([]byte, error) { return dst, errors.New("not 101") }
	}, func(t *testing.T, _, b *peer) {
		send(t, b, []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
	})
	f("endless header", AnswerTooLarge, silentListener, nil, func(t *testing.T, _, b *peer) {
		_, _ = b.Write(bytes.Repeat([]byte("X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaa\r\n"), 4000))
	})
	f("endless interim answers", AnswerTooLarge, silentListener, nil, func(t *testing.T, _, b *peer) {
		_, _ = b.Write(bytes.Repeat([]byte("HTTP/1.1 103 Early Hints\r\n\r\n"), 4000))
	})
}

// A backend that agrees before it has the whole handshake gets no client, whose
// frames it would take for the rest of that.
func TestBackendThatAgreesTooEarly(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		if r.tls[Backend] {
			return // its handshake is written to the end before its answer is read
		}
		l := listen(t)
		_, at := r.client(t)
		o := newOwner()
		k := r.call(at, addr(l), o)
		k.Request = []byte("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 32<<20) + "\r\n\r\n")
		if err := r.Open(k); err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if _, err := b.Write([]byte(switching)); err != nil {
			t.Fatal(err)
		}
		f := within(t, "Failed", o.failed)
		sys.Close(f.Client)
		if f.Cause != NotUpgraded || !errors.Is(f.Err, errEarlyAnswer) {
			t.Fatalf("cause %d (%v), want %d", f.Cause, f.Err, NotUpgraded)
		}
		sys.Close(f.Backend)
	})
}

func TestClientLeavesWhileItsBackendIsDialled(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		l := listen(t)
		b := r.backend(t, l)
		c, at := r.client(t)
		o := newOwner()
		if err := r.Open(r.call(at, addr(l), o)); err != nil {
			t.Fatal(err)
		}
		bc := within(t, "connection", b)
		defer bc.Close()
		_ = c.Close()
		got := within(t, "Failed", o.failed)
		sys.Close(got.Client)
		if got.Cause != ClientGone {
			t.Fatalf("cause %d, want %d", got.Cause, ClientGone)
		}
		expectEnd(t, bc)
	})
}

// Close ends what is left, whatever it is doing.
func TestCloseEndsEverything(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		var owners []*owner
		for range 20 {
			owners = append(owners, r.join(t, nil).owner)
		}
		r.Close()
		for _, o := range owners {
			if s := within(t, "Closed", o.closed); s.Ender != ByHoldfast {
				t.Fatalf("summary %+v", s)
			}
		}
		if s := r.Stats(); s.Pairs != 0 || s.Dialing != 0 {
			t.Fatalf("stats %+v", s)
		}
	})
}
