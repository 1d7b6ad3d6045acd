package cause

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
)

func TestTimeout(t *testing.T) {
	f := func(want bool, err error) {
		t.Helper()
		for _, err := range []error{err, fmt.Errorf("ask: %w", err), &url.Error{Op: "Get", Err: fmt.Errorf("give up: %w", err)}} {
			if got := Timeout(err); got != want {
				t.Errorf("%v: %v, want %v", err, got, want)
			}
		}
	}
	f(true, context.DeadlineExceeded)
	f(true, os.ErrDeadlineExceeded)
	f(true, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded})
	f(false, context.Canceled)
	f(false, io.EOF)
	f(false, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})
	// The kernel's own patience; net/http hides that behind words of its own.
	dial := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}
	if !Timeout(dial) || !Timeout(fmt.Errorf("ask: %w", dial)) || !Timeout(&url.Error{Op: "Get", Err: dial}) {
		t.Error("a connection that the kernel gave up is no timeout")
	}
	if Timeout(nil) {
		t.Error("nothing is a timeout")
	}
}

func TestLocal(t *testing.T) {
	dial := func(errno syscall.Errno) error {
		return fmt.Errorf("ask: %w", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)})
	}
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM} {
		if !Local(dial(errno)) {
			t.Errorf("%v is somebody else's fault", errno)
		}
	}
	for _, err := range []error{nil, io.EOF, dial(syscall.ECONNREFUSED), dial(syscall.ETIMEDOUT)} {
		if Local(err) {
			t.Errorf("%v is our fault", err)
		}
	}
}

func TestInnermost(t *testing.T) {
	if got := Innermost(fmt.Errorf("a: %w", &net.OpError{Op: "read", Err: io.EOF})); got != io.EOF {
		t.Errorf("got %v", got)
	}
	if joined := errors.Join(io.EOF, io.ErrUnexpectedEOF); Innermost(fmt.Errorf("a: %w", joined)) != joined {
		t.Error("a join is taken apart")
	}
}
