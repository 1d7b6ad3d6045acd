package listener

import (
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// deferredBy asks the kernel for a listener's TCP_DEFER_ACCEPT, in seconds.
func deferredBy(t *testing.T, s *Set, address string) (seconds int) {
	t.Helper()
	rc, err := s.bound[address].ln.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := rc.Control(func(fd uintptr) {
		seconds, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT)
	}); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
	return seconds
}

// Who connects and says nothing is the kernel's until he does; a reload changes
// that for connections to come, and closes none.
func TestDeferAccept(t *testing.T) {
	opts, meterOf := metered(hello)
	l := web()
	l.DeferAccept = 15 * time.Second
	s, addr := serve(t, opts, l)
	if n := deferredBy(t, s, l.Address); n != 15 {
		t.Errorf("TCP_DEFER_ACCEPT is %d s, want 15", n)
	}
	silent, speaks := testkit.DialTCP(t, addr), testkit.DialTCP(t, addr)
	get(t, speaks, "/one")
	// The silent one was first, so it would have been accepted first.
	if n := meterOf("web").accepted.Load(); n != 1 {
		t.Errorf("%d connections are accepted, of which one has spoken", n)
	}
	l.DeferAccept = 0
	change(t, s, l)
	if n := deferredBy(t, s, l.Address); n != 0 {
		t.Errorf("TCP_DEFER_ACCEPT is %d s after a reload without", n)
	}
	testkit.DialTCP(t, addr)
	testkit.Eventually(t, 10*time.Second, func() bool { return meterOf("web").accepted.Load() == 2 }, "one that says nothing is accepted")
	for _, c := range []*testkit.TCP{silent, speaks} {
		get(t, c, "/two")
	}
	l.DeferAccept = 1500 * time.Millisecond
	change(t, s, l)
	if n := deferredBy(t, s, l.Address); n != 3 {
		t.Errorf("TCP_DEFER_ACCEPT is %d s, want 3, the next that there is", n)
	}
}

// One that never speaks is seen all the same, a little later, so that
// timeouts.header ends it.
func TestDeferredForAWhileOnly(t *testing.T) {
	t.Parallel()
	l := web()
	l.DeferAccept, l.Timeouts.Header = time.Second, 100*time.Millisecond
	_, addr := serve(t, options(hello), l)
	testkit.DialTCP(t, addr).ExpectClosed(15 * time.Second)
}
