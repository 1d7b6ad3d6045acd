//go:build unix

package listener

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// With no descriptor left the listener waits, and goes on when there are some.
func TestOutOfDescriptors(t *testing.T) {
	opts, meterOf := metered(hello)
	_, address := serve(t, opts, web())
	get(t, testkit.DialTCP(t, address), "/before")

	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Skipf("cannot read the limit of open files: %v", err)
	}
	low := limit
	low.Cur = 128
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Skipf("cannot lower the limit of open files: %v", err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	var hoard []*os.File
	defer func() {
		for _, f := range hoard {
			f.Close()
		}
	}()
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		hoard = append(hoard, f)
	}
	// One descriptor is for the client; the server's end finds none.
	hoard[0].Close()
	hoard = hoard[1:]
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m := meterOf("web")
	testkit.Eventually(t, 10*time.Second, func() bool { return m.errors.Load() >= 3 }, "accept fails and is tried again")
	for _, f := range hoard {
		f.Close()
	}
	hoard = nil
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	nc.Write([]byte("GET /after HTTP/1.1\r\nHost: x\r\n\r\n"))
	expect(t, nc, "hello /after")
}
