package e2e

import (
	"context"
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
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			c, err := dialer.DialContext(context.Background(), "tcp", p.web)
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
