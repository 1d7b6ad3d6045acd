package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// bodySize is what streams through in these tests; memory must not depend on
// it.
const bodySize = 1 << 29

// allowance is how much the heap of the test's process, client and backend
// included, may grow over that.
const allowance = 32 << 20

// TestStreamsInBoundedMemory sends a large body each way, of known length and
// in chunks, and watches the heap meanwhile.
func TestStreamsInBoundedMemory(t *testing.T) {
	size := bodySize
	if testing.Short() || raceEnabled {
		size = bodySize / 16
	}
	received := make(chan int64, 1)
	addr := testkit.ServeTCP(t, func(c *net.TCPConn) { largeBodies(c, size, received) })
	r := start(t, configOf(addr))
	f := func(name, path, head string, body func(io.Writer)) {
		t.Helper()
		c := testkit.DialTCP(t, r.addr)
		grown := heapGrowth(func() {
			c.Send("POST " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + head + "\r\n\r\n")
			_ = c.SetWriteDeadline(time.Now().Add(2 * time.Minute)) // of a busy machine
			if body != nil {
				body(c)
				if n := <-received; n < int64(size) {
					t.Errorf("%s: backend got %d bytes, want %d", name, n, size)
				}
			}
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
			n, err := io.Copy(io.Discard, struct{ io.Reader }{c})
			if body == nil && n < int64(size) || err != nil {
				t.Errorf("%s: client got %d bytes, %v, want %d", name, n, err, size)
			}
		})
		if grown > allowance {
			t.Errorf("%s: the heap grew by %d KiB over %d MiB of body", name, grown>>10, size>>20)
		}
		t.Logf("%s: the heap grew by %d KiB", name, grown>>10)
	}
	piece := make([]byte, 64<<10)
	f("down", "/down", "Content-Length: 0", nil)
	f("down in chunks", "/down/chunked", "Content-Length: 0", nil)
	f("up", "/up", fmt.Sprintf("Content-Length: %d", size), func(w io.Writer) {
		for range size / len(piece) {
			_, _ = w.Write(piece)
		}
	})
	f("up in chunks", "/up/chunked", "Transfer-Encoding: chunked", func(w io.Writer) {
		for range size / len(piece) {
			fmt.Fprintf(w, "%x\r\n", len(piece))
			_, _ = w.Write(piece)
			_, _ = io.WriteString(w, "\r\n")
		}
		_, _ = io.WriteString(w, "0\r\n\r\n")
	})
}

// largeBodies serves one request: /down sends size bytes, /up reads as many.
func largeBodies(c *net.TCPConn, size int, received chan<- int64) {
	r := bufio.NewReaderSize(c, 64<<10)
	first, err := r.ReadString('\n')
	if err != nil {
		return
	}
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			return
		}
	}
	var path string
	fmt.Sscanf(first, "POST %s", &path)
	piece := make([]byte, 64<<10)
	switch path {
	case "/down":
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		for range size / len(piece) {
			_, _ = c.Write(piece)
		}
	case "/down/chunked":
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range size / len(piece) {
			fmt.Fprintf(c, "%x\r\n", len(piece))
			_, _ = c.Write(piece)
			_, _ = io.WriteString(c, "\r\n")
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	default:
		var body io.Reader = io.LimitReader(r, int64(size))
		if path == "/up/chunked" {
			body = httputil.NewChunkedReader(r)
		}
		n, _ := io.Copy(io.Discard, body)
		if path == "/up/chunked" {
			_, _ = r.ReadString('\n') // the end of the trailer section
		}
		received <- n
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
}

// heapGrowth runs f and returns the most by which the heap in use exceeded what
// it was before.
func heapGrowth(f func()) (bytes int64) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most.Store(max(most.Load(), int64(now.HeapInuse)-int64(before.HeapInuse)))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	return most.Load()
}
