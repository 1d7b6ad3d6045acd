package testkit

import (
	"net"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestVerifyNamesLeaks(t *testing.T) {
	before := descriptorsBefore()
	f := func(wantCode int, wants ...string) {
		t.Helper()
		var out strings.Builder
		if code := verify(&out, before, 20*time.Millisecond); code != wantCode {
			t.Fatalf("code %d, want %d: %s", code, wantCode, out.String())
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Fatalf("no %q in %q", want, out.String())
			}
		}
	}
	f(0)

	release := make(chan struct{})
	ended := make(chan struct{})
	go func() { <-release; close(ended) }()
	f(1, "goroutines leaked", "TestVerifyNamesLeaks")
	close(release)
	<-ended

	if before == nil {
		t.Skip("this system does not list descriptors in " + descriptorDir)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f(1, "descriptors leaked", "-> socket:[")
	l.Close()
	f(0)
}

func TestEventuallyWaits(t *testing.T) {
	calls := 0
	Eventually(t, time.Second, func() bool { calls++; return calls == 3 }, "three calls")
	if calls != 3 {
		t.Fatalf("cond called %d times, want 3", calls)
	}
}

// Who looks in the same place, as another process may, finds another address.
func TestFreeAddrIsKept(t *testing.T) {
	mark, err := net.ListenPacket("udp", "127.77.0.1:0")
	if err != nil {
		t.Skipf("this system's loopback has one address: %v", err)
	}
	_ = mark.Close()
	at := nextPort.Load() + 1
	nextPort.Store(at)
	first := FreeAddr(t)
	nextPort.Store(at)
	if second := FreeAddr(t); second == first {
		t.Errorf("%s was given away twice", first)
	}
}

func TestFreeAddrRefuses(t *testing.T) {
	if c, err := net.Dial("tcp", FreeAddr(t)); err == nil {
		c.Close()
		t.Fatal("something listens on a free address")
	}
}
