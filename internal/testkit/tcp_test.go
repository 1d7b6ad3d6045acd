package testkit

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestTCPEnds(t *testing.T) {
	f := func(serve func(*net.TCPConn), check func(*TCP)) {
		t.Helper()
		check(DialTCP(t, ServeTCP(t, serve)))
	}
	f(func(c *net.TCPConn) { c.Write([]byte("a\nbcd")) }, func(c *TCP) {
		t.Helper()
		line, rest := c.ReadUntil("\n", soon), string(c.ReadN(2, soon))
		if line != "a\n" || rest != "bc" {
			t.Fatalf("read %q and %q", line, rest)
		}
		if got := c.ReadAll(soon); got != "d" {
			t.Fatalf("read %q, want d", got)
		}
		c.ExpectEOF(soon)
		c.ExpectClosed(soon)
	})
	f(func(c *net.TCPConn) { c.Read(make([]byte, 1)); c.SetLinger(0) }, func(c *TCP) {
		t.Helper()
		c.ExpectSilence(10 * time.Millisecond)
		c.Send("x")
		c.ExpectReset(soon)
	})
	f(func(c *net.TCPConn) { c.Read(make([]byte, 1)); c.SetLinger(0) }, func(c *TCP) {
		t.Helper()
		c.Send("x")
		c.ExpectClosed(soon)
	})
}

func TestTCPResetReachesPeer(t *testing.T) {
	ended := make(chan error, 1)
	c := DialTCP(t, ServeTCP(t, func(c *net.TCPConn) {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}))
	c.Reset()
	if err := <-ended; err == nil || err.Error() == "EOF" {
		t.Fatalf("peer read %v, want a reset", err)
	}
}

func TestServeTCPAnswersHandshakeByHand(t *testing.T) {
	addr := ServeTCP(t, func(c *net.TCPConn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		c.Write(Text("early").Append([]byte(SwitchingProtocols(r, "X-By: hand"))))
	})
	c := DialRaw(t, addr, "/", "Cookie: a=b")
	if got := c.Response.Header.Get("X-By"); got != "hand" {
		t.Fatalf("X-By %q, want hand", got)
	}
	if got := c.ReadFrame(soon); string(got.Payload) != "early" {
		t.Fatalf("got %+v", got)
	}
	c.ExpectEOF(soon)
}
