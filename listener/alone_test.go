//go:build unix

package listener

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A handler that detaches without a hijack, because the header came alone, has
// nothing written to the client. A header with something before or behind it
// is known from one that came alone.
func TestCameAlone(t *testing.T) {
	type taken struct {
		alone bool
		fd    int
		place Place
	}
	got := make(chan taken, 1)
	opts, meterOf := metered(func(ctx *fasthttp.RequestCtx) {
		c := ctx.Conn().(*Conn)
		d := taken{alone: c.CameAlone(len(upgrade)), fd: -1}
		if d.alone {
			var err error
			if d.fd, d.place, err = c.Detach(); err != nil {
				t.Errorf("detach: %v", err)
			}
		}
		ctx.SetConnectionClose()
		ctx.WriteString("fasthttp answers")
		got <- d
	})
	_, address := serve(t, opts, web())
	f := func(alone bool, request string) {
		t.Helper()
		c := testkit.DialTCP(t, address)
		c.Send(request)
		d := <-got
		if d.alone != alone {
			t.Errorf("%q: came alone: %v, want %v", request, d.alone, alone)
		}
		if d.alone {
			defer sys.Close(d.fd)
			testkit.Eventually(t, 10*time.Second, func() bool { return len(sameFile(t, d.fd)) == 1 }, "Go closes its side")
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if n, err := c.R.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("client read %d bytes, %v; want silence", n, err)
			}
			d.place.Leave()
		} else {
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if answer, err := io.ReadAll(c.R); err != nil || len(answer) == 0 {
				t.Errorf("answer %q, %v", answer, err)
			}
		}
		testkit.Eventually(t, 10*time.Second, func() bool { return meterOf("web").opened() == 0 }, "the connection is off the books")
	}
	f(true, upgrade)
	f(false, upgrade+"\x81\x80\x00\x00\x00\x00")
	f(false, upgrade+"early\r\n\r\n")
	f(false, "\r\n"+upgrade)
}

// A socket's goroutines serve one connection after another, are not more than
// there is need for, and end when there is no work, or with the socket.
func TestCrewIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		served := make(chan struct{})
		w := newCrew(over, func(*Conn) { <-served })
		take := func(n, resting int) {
			t.Helper()
			for range n {
				w.take(&Conn{})
			}
			for range n {
				served <- struct{}{} // not before all are at work
			}
			synctest.Wait()
			if len(w.resting) != resting {
				t.Fatalf("%d rest, want %d", len(w.resting), resting)
			}
		}
		for range 3 {
			take(1, 1)
			time.Sleep(restFor / 2)
		}
		take(maxResting+5, maxResting)
		time.Sleep(restFor)
		synctest.Wait()
		if len(w.resting) != 0 {
			t.Fatalf("%d rest although there is nothing to do", len(w.resting))
		}
		take(3, 3)
		close(over)
		synctest.Wait()
		if len(w.resting) != 0 {
			t.Fatalf("%d rest after the end", len(w.resting))
		}
	})
}
