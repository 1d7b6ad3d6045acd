package testkit

import (
	"net"
	"testing"
	"time"
)

// Eventually calls cond every few milliseconds until it is true, and ends the
// test if it is not within that time. cond runs on the caller's goroutine. what
// finishes the sentence "not within 2s: ...".
func Eventually(t testing.TB, within time.Duration, cond func() bool, what string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// FreeAddr returns a 127.0.0.1 address on which nothing listens: for servers
// that must be told their port, and for connections that must be refused. The
// kernel hands ports out in turn, so another process takes it rarely, but may.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("find free port: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}
