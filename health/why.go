package health

import (
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/trust"
)

// maxWhy bounds the words of errors that nobody foresaw, in bytes.
const maxWhy = 100

// finding is an error that already is what an operator should read.
type finding string

func (f finding) Error() string { return string(f) }

// overdue is a finding about something that did not come in time. The time is
// added by why.
type overdue string

func (o overdue) Error() string { return string(o) }

// causes are the failures that have a name, which errors.Is finds.
var causes = []struct {
	err  error
	text string
}{
	{syscall.ECONNREFUSED, "connection refused"},
	{syscall.ECONNRESET, "connection reset"},
	{syscall.EPIPE, "connection reset"},
	{syscall.EHOSTUNREACH, "no route to host"},
	{syscall.ENETUNREACH, "network unreachable"},
	{syscall.EMFILE, "holdfast is out of descriptors"},
	{syscall.ENFILE, "this machine is out of descriptors"},
	{syscall.EADDRNOTAVAIL, "this machine is out of local ports"},
	{http.ErrSchemeMismatch, "no TLS at that port"},
	{io.EOF, "connection closed without an answer"},
	{io.ErrUnexpectedEOF, "connection closed within the answer"},
}

// why puts a check's error into a few words that name a class, not an address,
// so that equal failures read the same and can be counted.
func why(err error, timeout time.Duration) string {
	if o, ok := errors.AsType[overdue](err); ok {
		return string(o) + " within " + timeout.String()
	}
	if f, ok := errors.AsType[finding](err); ok {
		return string(f)
	}
	if cause.Timeout(err) {
		return "timeout after " + timeout.String()
	}
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		if lookup.IsNotFound {
			return "name not found"
		}
		return "name lookup failed"
	}
	if p, ok := trust.Explain(err); ok {
		return p.What
	}
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.text
		}
	}
	return explain.Line(cause.Innermost(err).Error(), maxWhy)
}
