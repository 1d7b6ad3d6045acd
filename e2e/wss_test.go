package e2e

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// secureSite is a process with TLS on both of its sides.
type secureSite struct {
	*process
	authority *testkit.Authority
	backends  net.Listener
}

// startSecure runs one whose single backend is the test.
func startSecure(t *testing.T) *secureSite {
	t.Helper()
	a := testkit.NewAuthority(t)
	dir := t.TempDir()
	cert, key := testkit.CertFiles(t, dir, "web", a.Issue("127.0.0.1"))
	ca := testkit.WriteFile(t, dir, "ca.pem", a.PEM())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{a.Issue("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &secureSite{start(t, setup{
		deadline: "20s", // nothing waits for it
		listener: fmt.Sprintf("tls: {certificates: [{cert: %q, key: %q}]}", cert, key),
		rest: "routes: [{name: all, path: /, pool: web}]\n" +
			fmt.Sprintf("pools: {web: {backends: [{name: b1, url: \"wss://%s\"}], backend_tls: {ca: %q}}}\n", l.Addr(), ca),
	}), a, l}
}

// dial connects a client.
func (s *secureSite) dial() (*peer, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", s.web, &tls.Config{RootCAs: s.authority.Pool()})
	if err != nil {
		return nil, err
	}
	return &peer{Conn: c, r: bufio.NewReader(c)}, nil
}

// accept takes the backend's end of a WebSocket.
func (s *secureSite) accept() (*peer, error) {
	c, err := s.backends.Accept()
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	p := &peer{Conn: c, r: bufio.NewReader(c)}
	req, err := http.ReadRequest(p.r)
	if err == nil && req.Header.Get("X-Forwarded-Proto") != "https" {
		err = fmt.Errorf("the backend reads X-Forwarded-Proto %q", req.Header.Get("X-Forwarded-Proto"))
	}
	if err == nil {
		_, err = io.WriteString(c, testkit.SwitchingProtocols(req))
	}
	return p, err
}

// link opens a WebSocket and returns both of its ends. The test's end closes
// them.
func (s *secureSite) link(t *testing.T) (client, backend *peer) {
	t.Helper()
	client, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	accepted := make(chan error, 1)
	go func() {
		var err error
		backend, err = s.accept()
		accepted <- err
	}()
	if err := errors.Join(client.handshake(s.web, "/"), <-accepted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = backend.Close() })
	deadline := time.Now().Add(2 * time.Minute)
	_, _ = client.SetDeadline(deadline), backend.SetDeadline(deadline)
	return client, backend
}

// Over TLS on both sides: small frames both ways at once, then large messages,
// arrive whole, once and in order.
func TestFramesOverTLS(t *testing.T) {
	frames := scale(200_000, 100_000, 10_000)
	s := startSecure(t)
	client, backend := s.link(t)
	var all sync.WaitGroup
	errs := make(chan error, 4)
	all.Go(func() { errs <- stream(client, frames, true) })
	all.Go(func() { errs <- stream(backend, frames, false) })
	all.Go(func() { errs <- readFrames(client.r, frames, isMessage) })
	all.Go(func() { errs <- readFrames(backend.r, frames, isMessage) })
	all.Wait()
	for range 4 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for _, direction := range []string{"client_to_backend", "backend_to_client"} {
		got := int(s.metric("holdfast_relay_frames_total", `direction="`+direction+`"`, `opcode="binary"`))
		if got != frames {
			t.Errorf("%s: %d binary frames are counted, want %d", direction, got, frames)
		}
	}
	payload := make([]byte, scale(16<<20, 16<<20, 4<<20))
	_, _ = io.ReadFull(&endless{}, payload)
	for _, way := range []struct{ from, to *peer }{{client, backend}, {backend, client}} {
		f := testkit.Binary(payload)
		if way.from == client {
			f = f.Mask()
		}
		all.Go(func() { _, _ = way.from.Write(f.Append(nil)) })
		if got, err := testkit.ReadFrame(way.to.r); err != nil || string(got.Payload) != string(payload) {
			t.Errorf("a message of %d bytes arrives with %d, or others (%v)", len(payload), len(got.Payload), err)
		}
		all.Wait()
	}
}

// Reloads that change the configuration and the certificate leave sockets over
// TLS alone while they talk; a stop is a Close 1001 for each.
func TestReloadAndStopOverTLS(t *testing.T) {
	s := startSecure(t)
	const sockets = 20
	var clients, backends []*peer
	for range sockets {
		c, b := s.link(t)
		clients, backends = append(clients, c), append(backends, b)
	}
	var echoes, talks sync.WaitGroup
	for _, b := range backends {
		echoes.Go(func() {
			for {
				f, err := testkit.ReadFrame(b.r)
				if err != nil {
					return
				}
				if f.Opcode == testkit.OpClose {
					_ = b.Close()
					return
				}
				_, _ = b.Write(f.Append(nil))
			}
		})
	}
	stop := make(chan struct{})
	for i, c := range clients {
		talks.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.echo(fmt.Sprintf("message %d of %d", n, i)); err != nil {
					t.Errorf("socket %d: %v", i, err)
					return
				}
			}
		})
	}
	for i := range 5 {
		cert, key := testkit.CertFiles(t, t.TempDir(), "web", s.authority.Issue("127.0.0.1"))
		s.setup.listener = fmt.Sprintf("limits: {max_connections: %d}\n    tls: {certificates: [{cert: %q, key: %q}]}", 1000+i, cert, key)
		s.write(s.setup.rest)
		s.reload()
	}
	close(stop)
	talks.Wait()
	s.signal(stopSignal)
	for i, c := range clients {
		_ = c.SetDeadline(time.Now().Add(patience))
		f, err := testkit.ReadFrame(c.r)
		if err != nil || f.CloseCode() != 1001 {
			t.Errorf("socket %d reads %+v (%v), want a Close 1001", i, f, err)
		}
		_, _ = c.Write(testkit.Close(1001, "").Mask().Append(nil))
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("socket %d ends with %v, want close_notify", i, err)
		}
	}
	echoes.Wait()
	if code := s.wait(patience); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// A backend that dies, and a client that does, are seen by the other at once.
func TestDeathOverTLS(t *testing.T) {
	s := startSecure(t)
	for _, dies := range []string{"backend", "client"} {
		client, backend := s.link(t)
		dead, other := backend, client
		if dies == "client" {
			dead, other = client, backend
		}
		tcp := dead.Conn.(*tls.Conn).NetConn().(*net.TCPConn)
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
		_ = other.SetReadDeadline(time.Now().Add(patience))
		if _, err := other.r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s died, and the other reads on (%v)", dies, err)
		}
	}
	testkit.Eventually(t, patience, func() bool { return s.metric("holdfast_relay_pairs_open") == 0 }, "no pair is left")
}
