// Package cause looks into errors for what lies below the words around it.
package cause

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// Timeout tells whether a deadline ended the operation, be it the caller's or
// one of the system's.
func Timeout(err error) bool {
	// Some wrappers have a Timeout of their own that does not look deep enough.
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// Local tells whether it was this machine that lacked something (descriptors,
// local ports, memory of the kernel's), for which nobody else is to blame.
func Local(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return false
	}
	switch errno {
	case syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS, syscall.ENOMEM:
		return true
	}
	return false
}

// Innermost drops the wrapping that names methods, URLs and addresses. Of errors
// that were joined it returns the join.
func Innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
