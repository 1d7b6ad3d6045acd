//go:build linux && (amd64 || arm64)

package relay

import (
	"crypto/tls"
	"io"
	"syscall"
	"testing"
	"time"
)

// computed is the processor time that the process has used.
func computed(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// With TLS the end of what a side says comes before its FIN. Whatever comes
// after it gives the loop nothing to do.
func TestFINBehindTheEnd(t *testing.T) {
	loops(t, func(t *testing.T, r rig) {
		for _, from := range []int{Client, Backend} {
			if !r.tls[from] {
				continue
			}
			j := r.join(t, nil)
			sides := [2]*peer{j.client, j.backend}
			if err := sides[from].Conn.(*tls.Conn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := sides[1-from].Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("the other side read %v", err)
			}
			if err := sides[from].tcp.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			const pause = 300 * time.Millisecond
			time.Sleep(20 * time.Millisecond) // the FIN arrives
			before, began := computed(t), time.Now()
			time.Sleep(pause) // what is measured
			if used, took := computed(t)-before, time.Since(began); used > took/3 {
				t.Errorf("from %d: the loop has computed for %v of %v", from, used, took)
			}
		}
	})
}
