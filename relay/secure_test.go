//go:build linux && (amd64 || arm64)

package relay

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// A preface goes before everything else, in clear, and before TLS.
func TestPreface(t *testing.T) {
	engines(t, func(t *testing.T, r rig) {
		const preface = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n"
		l := listen(t)
		got := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			b := make([]byte, len(preface))
			_, _ = io.ReadFull(c, b)
			got <- string(b)
			p := &peer{Conn: c, tcp: c.(*net.TCPConn)}
			if r.tls[Backend] {
				p.Conn = tls.Server(c, serverTLS())
			}
			b = make([]byte, len(handshake))
			_, _ = io.ReadFull(p, b)
			got <- string(b)
			_, _ = p.Write([]byte(switching))
			_, _ = io.Copy(io.Discard, c)
		}()
		c, at := r.client(t)
		o := newOwner()
		k := r.call(at, addr(l), o)
		k.Preface = []byte(preface)
		if err := r.Open(k); err != nil {
			t.Fatal(err)
		}
		if s := within(t, "preface", got); s != preface {
			t.Fatalf("the backend read %q first", s)
		}
		if s := within(t, "handshake", got); s != handshake {
			t.Fatalf("the backend read %q behind it", s)
		}
		expect(t, c, switching)
	})
}

// Backends with which there is no TLS: the request has not been sent, and the
// client can be told.
func TestTLSFailures(t *testing.T) {
	t.Parallel()
	secure := func(t *testing.T, f func(t *testing.T, r rig)) {
		engines(t, func(t *testing.T, r rig) {
			if r.tls[Backend] {
				f(t, r)
			}
		})
	}
	f := func(name string, want Cause, text string, serve func(net.Conn), edit func(*Call)) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			secure(t, func(t *testing.T, r rig) {
				l := listen(t)
				go func() {
					if c, err := l.Accept(); err == nil {
						defer c.Close()
						serve(c)
					}
				}()
				c, at := r.client(t)
				o := newOwner()
				k := r.call(at, addr(l), o)
				if edit != nil {
					edit(k)
				}
				if err := r.Open(k); err != nil {
					t.Fatal(err)
				}
				got := within(t, "Failed", o.failed)
				defer sys.Close(got.Client)
				if got.Cause != want || got.Err == nil || !strings.Contains(got.Err.Error(), text) {
					t.Fatalf("cause %d (%v), want %d and %q", got.Cause, got.Err, want, text)
				}
				if err := (place{got.Client, at.tls}).tell("sorry"); err != nil {
					t.Fatal(err)
				}
				expect(t, c, "sorry")
			})
		})
	}
	hold := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	f("another name", TLSFailed, "certificate is valid for game", func(c net.Conn) { _ = tls.Server(c, serverTLS()).Handshake() }, func(k *Call) {
		k.BackendTLS = k.BackendTLS.Clone()
		k.BackendTLS.ServerName = "elsewhere"
	})
	f("no TLS", TLSFailed, "does not look like a TLS handshake", func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); hold(c) }, nil)
	f("ends within", TLSFailed, "", func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, nil)
	f("silent", ConnectTimeout, "timeout", hold, func(k *Call) { k.Connect = 100 * time.Millisecond })
	f("silent for too long", AnswerTimeout, "timeout", hold, func(k *Call) { k.Answer = 100 * time.Millisecond })
	f("asks for a certificate", BackendEnded, "certificate required", func(c net.Conn) {
		cfg := serverTLS().Clone()
		cfg.ClientAuth = tls.RequireAnyClientCert
		_ = tls.Server(c, cfg).Handshake()
		hold(c)
	}, nil)
}

// A handshake with a backend that says nothing does not hold up the end.
func TestEndWithinTLSHandshake(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		if !r.tls[Backend] {
			t.Skip("without TLS there is no handshake")
		}
		l := listen(t)
		_, at := r.client(t)
		o := newOwner()
		if err := r.Open(r.call(at, addr(l), o)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := r.Farewell(ctx, 1001, "going away"); err != nil {
			t.Fatal(err)
		}
		got := within(t, "Failed", o.failed)
		sys.Close(got.Client)
		if got.Cause != Stopping {
			t.Fatalf("cause %d (%v), want %d", got.Cause, got.Err, Stopping)
		}
	})
}

// Bytes of a record that come one at a time are no end and no error.
func TestByteByByte(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		j := r.join(t, nil)
		frame := appendFrame(nil, 1, true, []byte("letter by letter"))
		j.client.drips.Store(true)
		send(t, j.client, frame)
		expect(t, j.backend, string(frame))
	})
}

// A record that was forged on the way is an error of its sender, told by an
// alert, and the other side is reset.
func TestForgedRecord(t *testing.T) {
	t.Parallel()
	loops(t, func(t *testing.T, r rig) {
		if !r.tls[Client] {
			t.Skip("there are no records")
		}
		for _, from := range []int{Client, Backend} {
			j := r.join(t, nil)
			liar, other := j.client, j.backend
			if from == Backend {
				liar, other = other, liar
			}
			record := append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...)
			if _, err := liar.tcp.Write(record); err != nil {
				t.Fatal(err)
			}
			_ = liar.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := liar.Read(make([]byte, 1)); err == nil || isTimeout(err) || errors.Is(err, io.EOF) {
				t.Errorf("the forger sees %v, want an alert or a reset", err)
			}
			expectEnd(t, other)
			if s := within(t, "Closed", j.owner.closed); s.Ender != ender(from) || s.Reason != "tls error" {
				t.Errorf("summary %+v", s)
			}
		}
	})
}

// A client that has TLS answer and reads nothing costs a bounded amount of
// memory: it is cut. (A key update asks for an answer; crypto/tls counts those
// that come without data in between.)
func TestRepliesAreBounded(t *testing.T) {
	if !sys.HasPoller {
		t.Skip("the portable engine writes, and waits")
	}
	l := &loop{}
	p := &pair{}
	e := &p.ends[Client]
	e.pend = make([]byte, maxReplies)
	if l.reply(p, Client, []byte("alert")) {
		t.Error("a reply was kept beyond the bound")
	}
	e.pend = e.pend[:maxReplies-1]
	if !l.reply(p, Client, []byte("alert")) || len(e.pend) != maxReplies+4 {
		t.Errorf("%d bytes are pending, want %d", len(e.pend), maxReplies+4)
	}
}

// What is sent in one go comes as one record: 16 KiB are not cut in pieces.
func TestRecordsAreBatched(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		if !r.tls[Client] {
			t.Skip("there are no records")
		}
		j := r.join(t, nil)
		var burst []byte
		for range 100 {
			burst = append(burst, appendFrame(nil, 2, false, make([]byte, 60))...)
		}
		send(t, j.backend, burst)
		_ = j.client.tcp.SetReadDeadline(time.Now().Add(10 * time.Second))
		header := make([]byte, 5)
		if _, err := io.ReadFull(j.client.tcp, header); err != nil {
			t.Fatal(err)
		}
		if n := int(binary.BigEndian.Uint16(header[3:])); n < len(burst) {
			t.Errorf("a burst of %d bytes begins with a record of %d", len(burst), n)
		}
	})
}
