package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// After SIGTERM nobody is let in, /readyz says so, what is under way is
// finished, and the process ends with 0.
func TestStopFinishesRequests(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	p.setup.deadline = "20s"
	p.write("routes: [{name: all, path: /, pool: web}]\n" + pool("web", []string{h.addr}))
	p.reload()
	idle := testkit.DialTCP(t, p.web)
	idle.Send(get("/"))
	kept, _ := h.acceptRequest()
	kept.Send(head("HTTP/1.1 200 OK", "Content-Length: 0"))
	idle.ReadResponse(patience)

	quiet, upload := testkit.DialTCP(t, p.web), testkit.DialTCP(t, p.web)
	quiet.Send(get("/slow"))
	first := kept // the connection is used again
	if sent := first.ReadUntil("\r\n\r\n", patience); !strings.HasPrefix(sent, "GET /slow ") {
		t.Fatalf("the backend reads %q", sent)
	}
	upload.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	second, _ := h.acceptRequest()

	p.signal(stopSignal)
	testkit.Eventually(t, patience, func() bool { return p.readyStatus() == http.StatusServiceUnavailable }, "/readyz is 503")
	testkit.Eventually(t, patience, func() bool {
		c, err := net.Dial("tcp", p.web)
		if err == nil {
			c.Close()
		}
		return err != nil
	}, "no connection is accepted")
	idle.ExpectClosed(patience) // at once: it waits for nothing

	// Half an answer now, the rest later.
	first.Send(head("HTTP/1.1 200 OK", "Content-Length: 10") + "hello")
	first.Send("again")
	upload.Send("6\r\n world\r\n0\r\n\r\n")
	second.ReadUntil("0\r\n\r\n", patience)
	second.Send(head("HTTP/1.1 201 Created", "Content-Length: 2") + "ok")
	f := func(c *testkit.TCP, status int, want string) {
		t.Helper()
		resp := c.ReadResponse(patience)
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != status || string(body) != want || err != nil || !resp.Close {
			t.Errorf("status %d, %q, %v, the last of its connection: %v; want %d, %q and true", resp.StatusCode, body, err, resp.Close, status, want)
		}
		c.ExpectClosed(patience)
	}
	f(quiet, http.StatusOK, "helloagain")
	f(upload, http.StatusCreated, "ok")
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// An answer that ends with its connection, for a client of HTTP/1.0, is finished
// too; and if the backend breaks it off, its client can tell.
func TestAnswersThatEndWithTheConnection(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	p.setup.deadline = "20s"
	p.write("routes: [{name: all, path: /, pool: web}]\n" + pool("web", []string{h.addr}))
	p.reload()
	ask := func() (client, backend *testkit.TCP) {
		t.Helper()
		client = testkit.DialTCP(t, p.web)
		client.Send("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
		backend, _ = h.acceptRequest()
		backend.Send(head("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + "5\r\nfirst\r\n")
		client.ReadUntil("first", patience)
		return client, backend
	}
	broken, backend := ask()
	_ = backend.Close()
	if _, err := io.ReadAll(broken); err == nil {
		t.Error("an answer that breaks off ends as if it were whole")
	}

	client, backend := ask()
	p.signal(stopSignal)
	testkit.Eventually(t, patience, func() bool { return p.readyStatus() == http.StatusServiceUnavailable }, "/readyz is 503")
	backend.Send("6\r\nsecond\r\n0\r\n\r\n")
	if rest, err := io.ReadAll(client); err != nil || string(rest) != "second" {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// Each socket reads a Close 1001, between two frames even when a large one is
// on its way; what clients still say reaches their backends, and nothing waits
// for the deadline.
func TestStopClosesSockets(t *testing.T) {
	t.Parallel()
	const deadline = 20 * time.Second
	p, h := startLinked(t, "")
	p.setup.deadline = deadline.String()
	p.write("routes: [{name: all, path: /, pool: web}]\n" + pool("web", []string{h.addr}))
	p.reload()
	idle, idleBackend := link(t, p, h)
	large, largeBackend := link(t, p, h)
	closing, closingBackend := link(t, p, h)

	frame := string(testkit.Binary(make([]byte, 1<<20)).Append(nil))
	largeBackend.Send(frame[:300_000])
	_ = large.SetReadDeadline(time.Now().Add(patience))
	if _, err := large.R.Peek(4000); err != nil {
		t.Fatal(err)
	}
	// A third is just saying good-bye on its own.
	closingBackend.SendFrames(testkit.Close(4000, ""))
	if f := closing.ReadFrame(patience); f.CloseCode() != 4000 {
		t.Errorf("the closing client reads %+v", f)
	}

	began := time.Now()
	p.signal(stopSignal)
	bye := func(c *testkit.TCP) {
		t.Helper()
		if f := c.ReadFrame(patience); f.Opcode != testkit.OpClose || f.CloseCode() != 1001 || f.Masked {
			t.Errorf("a client reads %+.80v, want an unmasked Close 1001", f)
		}
	}
	bye(idle)
	idle.SendFrames(testkit.Text("last words").Mask(), testkit.Close(1001, "").Mask())
	if f := idleBackend.ReadFrame(patience); string(f.Payload) != "last words" {
		t.Errorf("the backend reads %+v", f)
	}
	if f := idleBackend.ReadFrame(patience); f.CloseCode() != 1001 {
		t.Errorf("the backend reads %+v, want the client's Close 1001", f)
	}

	rest := make(chan struct{})
	go func() {
		defer close(rest)
		_ = largeBackend.SetWriteDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(largeBackend, frame[300_000:]+string(testkit.Text("too late").Append(nil)))
	}()
	if f := large.ReadFrame(patience); f.Opcode != testkit.OpBinary || len(f.Payload) != 1<<20 {
		t.Errorf("the large frame arrives as opcode %d with %d bytes", f.Opcode, len(f.Payload))
	}
	bye(large)
	<-rest
	large.SendFrames(testkit.Close(1001, "").Mask())

	closing.SendFrames(testkit.Close(4000, "").Mask())
	if f := closingBackend.ReadFrame(patience); f.CloseCode() != 4000 {
		t.Errorf("the closing client's backend reads %+v", f)
	}
	for _, c := range []*testkit.TCP{idle, large, closing} {
		c.Close()
	}
	for _, c := range []*testkit.TCP{idleBackend, largeBackend, closingBackend} {
		c.Close()
	}
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if took := time.Since(began); took >= deadline {
		t.Errorf("the end took %v, with nobody left to wait for", took)
	}
}

// A crowd of sockets is told, each of them.
func TestStopTellsEveryone(t *testing.T) {
	backends := startArenas(t, 2)
	p := start(t, setup{deadline: "20s", rest: site(backends)})
	peers := openPeers(t, p.web, "/", scale(3000, 1000, 200))
	errs := make(chan error, len(peers))
	for _, socket := range peers {
		go func() {
			_ = socket.SetDeadline(time.Now().Add(patience))
			f, err := testkit.ReadFrame(socket.r)
			if err == nil && f.CloseCode() != 1001 {
				err = fmt.Errorf("%+v, want a Close 1001", f)
			}
			if err == nil {
				_, err = socket.Write(testkit.Close(1001, "").Mask().Append(nil))
			}
			socket.Close()
			errs <- err
		}()
	}
	p.signal(syscall.SIGINT)
	for range peers {
		if err := <-errs; err != nil {
			t.Errorf("a client reads %v", err)
		}
	}
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if !strings.Contains(p.log(), fmt.Sprintf(`"sockets":%d`, len(peers))) {
		t.Errorf("the log does not tell of %d sockets", len(peers))
	}
}

// Clients and backends that do not listen any more are cut off at the
// deadline, and that is a good end.
func TestStopEndsByDeadline(t *testing.T) {
	t.Parallel()
	const deadline = 700 * time.Millisecond
	p, h := startLinked(t, "")
	p.setup.deadline = deadline.String()
	p.write("routes: [{name: all, path: /, pool: web}]\n" + pool("web", []string{h.addr}))
	p.reload()
	deaf, _ := link(t, p, h)
	stalled, stalledBackend := link(t, p, h)
	slow := testkit.DialTCP(t, p.web)
	slow.Send(get("/slow"))
	h.acceptRequest()
	// More than fits into the buffers, for a client that reads nothing.
	var sent int64
	_ = stalledBackend.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	frame := testkit.Binary(make([]byte, 1<<20)).Append(nil)
	for err := error(nil); err == nil; {
		var n int
		n, err = stalledBackend.Write(frame)
		sent += int64(n)
	}

	began := time.Now()
	p.signal(stopSignal)
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if took := time.Since(began); took < deadline || took > deadline+patience {
		t.Errorf("the end took %v after %d bytes to a stalled client, want about %v", took, sent, deadline)
	}
	for _, c := range []*testkit.TCP{deaf, stalled, slow} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c.R); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("a client that was cut off: %v", err)
		}
	}
	if log := p.log(); !strings.Contains(log, "cut off at shutdown.deadline") {
		t.Errorf("the log does not tell that anything was cut off:\n%s", log)
	}
}

// A second signal ends the process at once.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p, h := startLinked(t, "")
	p.setup.deadline = "1m"
	p.write("routes: [{name: all, path: /, pool: web}]\n" + pool("web", []string{h.addr}))
	p.reload()
	link(t, p, h)
	p.signal(stopSignal)
	p.logged(`"stopping"`)
	p.signal(syscall.SIGINT)
	if code := p.wait(patience); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
}

// A caller of the admin address who never ends its request does not hold up the
// end, nor what is to be told at it.
func TestStopLeavesAdminCallers(t *testing.T) {
	t.Parallel()
	p := start(t, setup{deadline: "5s", rest: site(startArenas(t, 1))})
	c := testkit.DialTCP(t, p.admin)
	c.Send("POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
	c.ReadUntil("100 Continue\r\n\r\n", patience)
	p.signal(stopSignal)
	if code := p.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if log := p.log(); strings.Contains(log, "not all parts ended") {
		t.Errorf("the end was not reached:\n%s", log)
	}
}
