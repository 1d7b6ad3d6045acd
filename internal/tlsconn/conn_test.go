package tlsconn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var serverConfig = sync.OnceValue(func() *tls.Config {
	return &tls.Config{
		Certificates:                []tls.Certificate{testkit.SelfSigned("game")},
		DynamicRecordSizingDisabled: true,
		SessionTicketsDisabled:      true, // they would have to be read first
	}
})

func clientConfig(version uint16) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, DynamicRecordSizingDisabled: true,
	}
}

// fatalist is what a test and a rapid check have in common.
type fatalist interface {
	Helper()
	Fatalf(format string, args ...any)
}

// detached returns a server and a client in their second lives.
func detached(t fatalist, version uint16) (server, client *Conn) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server, client = Server(a, serverConfig()), Client(b, clientConfig(version))
	done := make(chan error, 1)
	go func() { done <- server.Shake(time.Time{}) }()
	if err := errors.Join(client.Shake(time.Time{}), <-done); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	server.Detach()
	client.Detach()
	return server, client
}

func seal(t fatalist, c *Conn, b []byte) []byte {
	t.Helper()
	out, err := c.Seal(nil, b)
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	return out
}

// Whatever is said, however it is cut on its way, arrives as it was.
func TestStreamsSurviveEveryCut(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				server, client := detached(rt, version)
				for range rapid.IntRange(1, 4).Draw(rt, "turns") {
					from, to := server, client
					if rapid.Bool().Draw(rt, "client") {
						from, to = client, server
					}
					said := bytes.Repeat([]byte{rapid.Uint8().Draw(rt, "byte")}, rapid.SampledFrom([]int{1, 100, 16384, 16385, 70000}).Draw(rt, "size"))
					wire := seal(rt, from, said)
					var heard []byte
					for len(wire) > 0 {
						n := min(len(wire), rapid.SampledFrom([]int{1, 5, 6, 1000, 20000, 1 << 20}).Draw(rt, "cut"))
						if len(wire) > 2000 {
							n = max(n, 1000)
						}
						plain, reply, err := to.Open(make([]byte, 0, 100), wire[:n])
						if err != nil || reply != nil {
							rt.Fatalf("open: %v, reply %x", err, reply)
						}
						heard, wire = append(heard, plain...), wire[n:]
					}
					if !bytes.Equal(heard, said) {
						rt.Fatalf("%d bytes arrived of %d, or others", len(heard), len(said))
					}
				}
			})
		})
	}
}

// A message takes no more records than its size needs.
func TestRecordsAreFull(t *testing.T) {
	server, _ := detached(t, tls.VersionTLS13)
	for size, records := range map[int]int{1: 1, maxRecord: 1, maxRecord + 1: 2, 100 << 10: 7} {
		wire, n := seal(t, server, make([]byte, size)), 0
		for ; len(wire) > 0; n++ {
			wire = wire[5+int(wire[3])<<8+int(wire[4]):]
		}
		if n != records {
			t.Errorf("%d bytes take %d records, want %d", size, n, records)
		}
	}
}

func TestCloseNotify(t *testing.T) {
	server, client := detached(t, tls.VersionTLS13)
	wire := client.CloseNotify(seal(t, client, []byte("last words")))
	plain, _, err := server.Open(nil, wire)
	if string(plain) != "last words" || err != io.EOF || server.Err() != io.EOF {
		t.Fatalf("opened %q, error %v, then %v", plain, err, server.Err())
	}
	if more := client.CloseNotify(nil); len(more) > 0 {
		t.Fatalf("a second close_notify of %d bytes", len(more))
	}
	if _, err := client.Seal(nil, []byte("x")); err == nil {
		t.Fatal("sealed something behind a close_notify")
	}
	// The other direction goes on.
	if plain, _, err := client.Open(nil, seal(t, server, []byte("yes?"))); string(plain) != "yes?" || err != nil {
		t.Fatalf("opened %q (%v)", plain, err)
	}
}

// A record that was changed is told to the peer as an alert, and is the end.
func TestForgedRecord(t *testing.T) {
	server, client := detached(t, tls.VersionTLS13)
	wire := seal(t, client, []byte("hello"))
	wire[len(wire)-1] ^= 1
	plain, reply, err := server.Open(nil, wire)
	if len(plain) > 0 || err == nil || len(reply) == 0 {
		t.Fatalf("opened %q, reply of %d bytes, error %v", plain, len(reply), err)
	}
	if _, _, err := client.Open(nil, reply); err == nil || err == io.EOF {
		t.Fatalf("the peer sees %v, want an alert", err)
	}
	if _, _, again := server.Open(nil, seal(t, client, []byte("hello"))); again != server.Err() || again == nil {
		t.Fatalf("error %v, then %v", err, again)
	}
}

// What came before Detach is read after it, and then a temporary error; a
// record of which a part had come goes on with Open. Attach goes back.
func TestTwoLives(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	below := <-accepted
	defer below.Close()
	server, client := Server(below, serverConfig()), Client(raw, clientConfig(tls.VersionTLS12))
	done := make(chan error, 1)
	go func() { done <- client.Shake(time.Now().Add(10 * time.Second)) }()
	if err := errors.Join(server.Shake(time.Now().Add(10*time.Second)), <-done); err != nil {
		t.Fatal(err)
	}
	client.Detach()
	wire := seal(t, client, []byte("first"))
	wire = append(wire, seal(t, client, []byte("second"))...)
	whole := len(wire)
	wire = append(wire, seal(t, client, []byte("third"))...)
	if _, err := raw.Write(wire[:whole+7]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	if n, err := io.ReadFull(server, b); err != nil || string(b[:n]) != "fi" {
		t.Fatalf("read %q (%v)", b[:n], err)
	}
	server.Detach()
	rest, err := io.ReadAll(server)
	var temporary net.Error
	if string(rest) != "rstsecond" && string(rest) != "rst" || !errors.As(err, &temporary) || !temporary.Timeout() {
		t.Fatalf("read %q (%v)", rest, err)
	}
	if string(rest) == "rst" {
		t.Skip("the kernel delivered in pieces")
	}
	if plain, _, err := server.Open(nil, wire[whole+7:]); string(plain) != "third" || err != nil {
		t.Fatalf("opened %q (%v)", plain, err)
	}
	server.Attach(below)
	if _, err := server.Write([]byte("back again")); err != nil {
		t.Fatal(err)
	}
	client.Attach(raw)
	b = make([]byte, 10)
	if _, err := io.ReadFull(client, b); err != nil || string(b) != "back again" {
		t.Fatalf("read %q (%v)", b, err)
	}
}

// A handshake that waits for its peer holds no place; one that waits for a
// place does so until its time is up.
func TestGate(t *testing.T) {
	var silent []net.Conn
	var all sync.WaitGroup
	for range 2 * cap(computing) {
		a, b := net.Pipe()
		silent = append(silent, b)
		all.Go(func() {
			if err := Server(a, serverConfig()).Shake(time.Time{}); err == nil {
				t.Error("a handshake with nobody succeeded")
			}
		})
	}
	detached(t, tls.VersionTLS13) // is not kept out
	for _, c := range silent {
		_ = c.Close()
	}
	all.Wait()
	for range cap(computing) {
		if err := computing.enter(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := Server(a, serverConfig()).Shake(time.Now().Add(20 * time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("error %v, want a deadline exceeded", err)
	}
	for range cap(computing) {
		computing.leave()
	}
}

// A handshake that has failed holds no place, so an alert that it still has to
// send gives none back.
func TestFailedHandshakeHoldsNoPlace(t *testing.T) {
	a, b := net.Pipe()
	_ = a.Close()
	_ = b.Close()
	c := transport{conn: a, shaking: true, inside: true}
	if err := computing.enter(time.Time{}); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("read from a closed connection")
		}
		if _, err := c.Write([]byte("alert")); err == nil {
			t.Error("wrote to a closed connection")
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the alert waits for a place to give back")
	}
}

// Sealing and opening a small message allocates nothing, unless crypto/tls has
// to ask for more.
func TestMessagesAllocateNothing(t *testing.T) {
	if !lends {
		t.Skip("this version of crypto/tls has other buffers")
	}
	if raceEnabled {
		t.Skip("the race detector has sync.Pool forget, and crypto/tls allocate")
	}
	server, client := detached(t, tls.VersionTLS13)
	said := make([]byte, 64)
	wire, plain := make([]byte, 0, 1<<16), make([]byte, 0, 1<<16)
	n := testing.AllocsPerRun(1000, func() {
		w, err := client.Seal(wire, said)
		if err != nil {
			t.Fatal(err)
		}
		if p, _, err := server.Open(plain, w); err != nil || len(p) != len(said) {
			t.Fatalf("opened %d bytes (%v)", len(p), err)
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// The buffers are where they are looked for. If this fails, Go has changed:
// connections work all the same, and are larger.
func TestBuffersAreFound(t *testing.T) {
	if !lends {
		t.Errorf("rawInput found: %v, input found: %v, hand found: %v", rawInputFound, inputFound, handFound)
	}
	server, client := detached(t, tls.VersionTLS13)
	check := func(when string) {
		t.Helper()
		if raw, hand := server.rawInput().Cap(), server.hand().Cap(); raw > 0 || hand > 0 {
			t.Errorf("%s: buffers of %d and %d bytes are kept", when, raw, hand)
		}
	}
	check("after the handshake")
	wire := seal(t, client, make([]byte, 100<<10))
	for len(wire) > 0 {
		n := min(len(wire), 10000)
		if _, _, err := server.Open(nil, wire[:n]); err != nil {
			t.Fatal(err)
		}
		wire = wire[n:]
	}
	check("after a burst")
}

// Without the buffers of crypto/tls everything is as it is with them.
func TestWithoutLending(t *testing.T) {
	defer func(was bool) { lends = was }(lends)
	lends = false
	t.Run("cuts", TestStreamsSurviveEveryCut)
	t.Run("close", TestCloseNotify)
	t.Run("forged", TestForgedRecord)
	t.Run("lives", TestTwoLives)
}
