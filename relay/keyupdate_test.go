//go:build linux && (amd64 || arm64)

package relay

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A backend wants a new key while a request is on its way to it that it does not
// take at once: what TLS answers stands behind the request.
func TestKeyUpdateWhileARequestIsUnderWay(t *testing.T) {
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	g := rig{r, [2]bool{false, true}}
	l := listen(t)
	type backend struct {
		wants *testkit.Updater
		*tls.Conn
		err error
	}
	accepted := make(chan backend, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		u, s, err := testkit.NewUpdater(c, serverTLS())
		accepted <- backend{u, s, err}
	}()
	spare, err := Connect(t.Context(), addr(l), clientTLS(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	b := within(t, "connection", accepted)
	if errors.Is(b.err, testkit.ErrCipherSuite) {
		t.Skip(b.err)
	} else if b.err != nil {
		t.Fatal(b.err)
	}
	defer b.Close()

	_, at := g.client(t)
	o := newOwner()
	k := g.call(at, addr(l), o)
	k.Spare, k.Answer = spare, time.Minute          // all of that is read below
	k.Request = bytes.Repeat([]byte("GET "), 4<<20) // more than buffers hold
	if err := r.Open(k); err != nil {
		t.Fatal(err)
	}
	if err := b.wants.Update(1); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 10*time.Second, func() (answered bool) {
		r.engines[0].(*loop).ask(func(l *loop) {
			l.table.each(func(p *pair) { answered = p.call != nil && p.call.replies > 0 })
		})
		return answered
	}, "an answer to the wish for a new key")
	got := make([]byte, len(k.Request))
	if n, err := io.ReadFull(steady{b.Conn}, got); err != nil || !bytes.Equal(got, k.Request) {
		t.Fatalf("the backend read %d bytes of the request, then %v", n, err)
	}
	_ = b.NetConn().Close()
	f := within(t, "Failed", o.failed)
	sys.Close(f.Client)
}
