package relay

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// spare makes one, and returns it with the backend's end of it.
func (r rig) spare(t *testing.T, l net.Listener) (*Spare, *peer) {
	t.Helper()
	accepted := make(chan *peer, 1)
	go func() {
		p, err := r.accept(l)
		if err != nil {
			return
		}
		if s, secure := p.Conn.(*tls.Conn); secure {
			if err := s.Handshake(); err != nil {
				t.Errorf("handshake: %v", err)
			}
		}
		accepted <- p
	}()
	var secure *tls.Config
	if r.tls[Backend] {
		secure = clientTLS()
	}
	s, err := Connect(t.Context(), addr(l), secure, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b := within(t, "connection", accepted)
	t.Cleanup(func() { _ = b.Close() })
	return s, b
}

// A pair begins on a connection that was there before its client, with nobody
// to connect to any more.
func TestSpare(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		l := listen(t)
		s, b := r.spare(t, l)
		_ = l.Close()
		testkit.Eventually(t, 10*time.Second, s.Alive, "the spare is alive, whatever TLS has said")
		c, at := r.client(t)
		o := newOwner()
		k := r.call(at, addr(l), o)
		k.Spare = s
		if err := r.Open(k); err != nil {
			t.Fatal(err)
		}
		expect(t, b, handshake)
		send(t, b, []byte(switching))
		expect(t, c, switching)
		within(t, "Opened", o.opened)
		up, down := mine(Client, opText, "hello"), mine(Backend, opText, "welcome")
		send(t, c, up)
		expect(t, b, string(up))
		send(t, b, down)
		expect(t, c, string(down))
		s.Close() // is nothing any more
		send(t, c, up)
		expect(t, b, string(up))
		_, _ = c.Close(), b.Close()
		within(t, "Closed", o.closed)
	})
}

// A backend that has ended a spare, or has spoken, is noticed; if that comes
// too late, the client is given back, and nothing was answered.
func TestStaleSpare(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		l := listen(t)
		s, b := r.spare(t, l)
		_ = b.Close()
		testkit.Eventually(t, 10*time.Second, func() bool { return !s.Alive() }, "the end is noticed")
		s.Close()

		s, b = r.spare(t, l)
		send(t, b, []byte("HTTP/1.1 408 Request Timeout\r\n\r\n"))
		testkit.Eventually(t, 10*time.Second, func() bool { return !s.Alive() }, "an answer to nothing is noticed")
		s.Close()

		s, b = r.spare(t, l)
		b.reset()
		c, at := r.client(t)
		o := newOwner()
		k := r.call(at, addr(l), o)
		k.Spare = s
		if err := r.Open(k); err != nil {
			t.Fatal(err)
		}
		f := within(t, "Failed", o.failed)
		if f.Answered || f.Cause != ConnectFailed && f.Cause != BackendEnded {
			t.Fatalf("%+v", f)
		}
		if err := (place{f.Client, at.tls}).tell("sorry"); err != nil {
			t.Fatal(err)
		}
		expect(t, c, "sorry")
		sys.Close(f.Client)
	})
}

// Whatever Open says, the spare is taken.
func TestSpareOfARelayThatStops(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		l := listen(t)
		s, b := r.spare(t, l)
		r.Close()
		_, at := r.client(t)
		k := r.call(at, addr(l), newOwner())
		k.Spare = s
		if err := r.Open(k); err == nil {
			t.Fatal("opened")
		}
		sys.Close(at.fd)
		_ = b.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := b.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Fatalf("the backend reads %v", err)
		}
	})
}

func TestConnectGivesUp(t *testing.T) {
	l := listen(t) // and never accepts
	at := addr(l)
	_ = l.Close()
	if _, err := Connect(t.Context(), at, nil, time.Second); err == nil {
		t.Error("connected to nobody")
	}
	l = listen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, addr(l), clientTLS(), 10*time.Second); err == nil {
		t.Error("agreed on TLS with nobody")
	}
}
