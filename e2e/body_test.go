package e2e

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// endless is a body of noise, over and over.
type endless struct{ read atomic.Int64 }

func (r *endless) Read(p []byte) (int, error) {
	n := copy(p, noise[r.read.Load()%int64(len(noise)):])
	r.read.Add(int64(n))
	return n, nil
}

// digest reads r to its end.
func digest(r io.Reader) (n int64, sum string, err error) {
	var h hash.Hash = sha256.New()
	n, err = io.Copy(h, r)
	return n, fmt.Sprintf("%x", h.Sum(nil)), err
}

// A body of any size passes both ways, whole, with and without a length, in
// memory that does not depend on it. Both sides of the connection may be slow:
// what is not taken is not read.
func TestLargeBodies(t *testing.T) {
	size := int64(scale(1<<30, 128<<20, 32<<20))
	const limit = 64 << 20
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			n, sum, err := digest(r.Body)
			fmt.Fprintf(w, "%d %s %v %d", n, sum, err, r.ContentLength)
			return
		}
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		}
		_, _ = io.CopyN(w, &endless{}, size)
	})
	p := start(t, setup{rest: siteOf([]string{addr})})
	client := newClient(t)
	_, sum, _ := digest(io.LimitReader(&endless{}, size))
	// Its idle state is that after a first request.
	fetch(t, client, request(t, "PUT", "http://"+p.web, strings.NewReader("x")))

	f := func(what string, do func()) {
		t.Helper()
		if grown := p.grown(do); grown > limit {
			t.Errorf("%s of %d MiB: the process grew by %d MiB", what, size>>20, grown>>20)
		} else {
			t.Logf("%s of %d MiB: %.1f MiB more memory", what, size>>20, float64(grown)/(1<<20))
		}
	}
	upload := func(length int64) {
		t.Helper()
		req := request(t, "PUT", "http://"+p.web, io.LimitReader(&endless{}, size))
		req.ContentLength = length
		_, body := fetch(t, client, req)
		if want := fmt.Sprintf("%d %s <nil> %d", size, sum, length); body != want {
			t.Errorf("the backend reads %s, want %s", body, want)
		}
	}
	download := func(query string) {
		t.Helper()
		resp, err := client.Get("http://" + p.web + "/?" + query)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		if n, got, err := digest(resp.Body); err != nil || n != size || got != sum {
			t.Errorf("the client reads %d bytes, %s, %v; want %d, %s", n, got, err, size, sum)
		}
	}
	f("an upload", func() { upload(size) })
	f("a chunked upload", func() { upload(-1) })
	f("a download", func() { download("length") })
	f("a chunked download", func() { download("") })
	p.awaitIdle("web")
}

// A download whose client does not read is not read from the backend either,
// and one whose backend does not read is not read from the client.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	release := make(chan struct{})
	took := make(chan string, 1)
	var down, up endless
	addr := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-release
			n, _, err := digest(r.Body)
			took <- fmt.Sprintf("%d %v", n, err)
			return
		}
		n, err := io.CopyN(w, &down, size)
		took <- fmt.Sprintf("%d %v", n, err)
	})
	p := start(t, setup{rest: siteOf([]string{addr})})
	client := newClient(t)
	whole := fmt.Sprintf("%d <nil>", size)

	grown := p.grown(func() {
		resp, err := client.Get("http://" + p.web)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if sent := awaitStall(t, &down.read); sent >= size {
			t.Errorf("the backend has sent all %d bytes to a client that reads nothing", sent)
		}
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
			t.Errorf("the client reads %d bytes, %v", n, err)
		}
		if got := <-took; got != whole {
			t.Errorf("the backend has sent %s", got)
		}
	})
	grown = max(grown, p.grown(func() {
		done := make(chan error, 1)
		go func() {
			resp, err := client.Do(request(t, "PUT", "http://"+p.web, io.LimitReader(&up, size)))
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
		if sent := awaitStall(t, &up.read); sent >= size {
			t.Errorf("the client has sent all %d bytes to a backend that reads nothing", sent)
		}
		close(release)
		if got := <-took; got != whole {
			t.Errorf("the backend reads %s", got)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}))
	if grown > 16<<20 {
		t.Errorf("the process grew by %d MiB", grown>>20)
	}
	p.awaitIdle("web")
}

// A client that breaks off its upload, or whose chunks are none, does not make
// half a body look whole.
func TestUploadBreaksOff(t *testing.T) {
	t.Parallel()
	arrived, took := make(chan struct{}), make(chan error, 1)
	addr := startServer(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		_, err := io.Copy(io.Discard, r.Body)
		took <- err
	})
	p := start(t, setup{rest: siteOf([]string{addr})})
	f := func(header, body string, leave func(c *testkit.TCP)) {
		t.Helper()
		c := testkit.DialTCP(t, p.web)
		c.Send("POST / HTTP/1.1\r\nHost: x\r\n" + header + "\r\n\r\n" + body)
		<-arrived
		leave(c)
		if err := <-took; err == nil {
			t.Errorf("%s: the backend reads a whole body", header)
		}
		p.awaitIdle("web")
	}
	sized := fmt.Sprintf("Content-Length: %d", 1<<20)
	half := strings.Repeat("x", 1<<19)
	chunk := "8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n"
	for _, leave := range []func(*testkit.TCP){
		func(c *testkit.TCP) { _ = c.Close() },
		func(c *testkit.TCP) { c.Reset() },
		func(c *testkit.TCP) { _ = c.CloseWrite() },
	} {
		f(sized, half, leave)
		f("Transfer-Encoding: chunked", chunk, leave)
	}
	for _, broken := range []string{"zz\r\n", "5\r\nhello!!", "-1\r\n", "fffffffffffffffff\r\n"} {
		f("Transfer-Encoding: chunked", chunk+broken, func(c *testkit.TCP) {
			if resp := c.ReadResponse(patience); resp.StatusCode != http.StatusBadRequest {
				t.Errorf("chunk %q: status %d, want 400", broken, resp.StatusCode)
			}
		})
	}
}
