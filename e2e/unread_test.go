package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// narrow makes connections for which the kernel receives little ahead.
var narrow = net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
}}

// A client that was silent for a while, and has not read the answers before,
// gives no event when its handshake is under way: it has its deadlines all the
// same, and does not keep the process from ending.
func TestHandshakeBehindAnUnreadAnswer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/silent" {
			asked.Add(1)
			<-r.Context().Done()
			return
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(make([]byte, n))
	})
	p := start(t, setup{rest: "routes: [{name: all, path: /, pool: web, timeouts: {response: 700ms}}]\n" + pool("web", []string{addr})})

	// How much the kernel takes of an answer that is not read is its own
	// affair; somewhere below that the socket is no longer writable.
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			c, err := narrow.DialContext(context.Background(), "tcp", p.web)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			_, _ = c.Write([]byte(get("/" + strconv.Itoa((i+1)*100_000))))
			time.Sleep(2500 * time.Millisecond) // longer than connections stay with fasthttp
			_, _ = c.Write([]byte(testkit.HandshakeRequest("site", "/silent")))
		})
	}
	all.Wait()
	testkit.Eventually(t, patience, func() bool {
		n := 0
		for _, b := range p.backends("web") {
			n += b.Active.Handshakes
		}
		return n == 0
	}, "every handshake has ended")
	if asked.Load() == 0 {
		t.Error("no handshake has reached the backend")
	}
}

// Clients that take a byte of a large answer once in a while cost a goroutine
// and the buffers of one each, and no more than timeouts.body allows.
func TestSlowReadersOfLargeAnswers(t *testing.T) {
	t.Parallel()
	readers := scale(400, 60, 30)
	addr := startServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(100<<20))
		piece := make([]byte, 64<<10)
		for err := error(nil); err == nil; {
			_, err = w.Write(piece)
		}
	})
	p := start(t, setup{listener: fmt.Sprintf("timeouts: {body: %ds}", scale(10, 2, 2)), rest: siteOf([]string{addr})})
	goroutines := p.metric("go_goroutines")
	var most float64
	grown := p.grown(func() {
		ctx, stop := context.WithCancel(t.Context())
		var reading, all sync.WaitGroup
		reading.Add(readers)
		for range readers {
			all.Go(func() {
				begun := sync.OnceFunc(reading.Done)
				defer begun()
				c, err := narrow.DialContext(context.Background(), "tcp", p.web)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				_, _ = c.Write([]byte(get("/")))
				for err == nil && ctx.Err() == nil {
					_, err = c.Read(make([]byte, 1))
					begun()
					pauseFor(ctx, 100*time.Millisecond)
				}
				// The rest is not on its way, and nobody takes it for the end.
				_ = c.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the client reads on to %v, want a reset", err)
				}
			})
		}
		reading.Wait()
		most = p.metric("go_goroutines")
		testkit.Eventually(t, patience, func() bool { return p.metric("holdfast_listener_connections_open") == 0 },
			"they are cut off, though nobody has gone")
		stop()
		all.Wait()
	})
	t.Logf("%d readers: %d KiB and %.2f goroutines each", readers, grown/readers>>10, (most-goroutines)/float64(readers))
	if bound := 16<<20 + readers*256<<10; grown > bound {
		t.Errorf("%d readers have taken %d MiB, more than %d", readers, grown>>20, bound>>20)
	}
	if most > goroutines+float64(readers)+32 {
		t.Errorf("%d readers have %v goroutines, %v before", readers, most, goroutines)
	}
}
