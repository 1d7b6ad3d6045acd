// Package cause looks into errors for what lies below the words around it.
package cause

import (
	"context"
	"errors"
	"net"
	"os"
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
