package discovery

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

// trouble is why an answer was not taken. Two with the same kind are the same
// trouble, whatever their detail.
type trouble struct{ kind, detail string }

// Error is the detail.
func (t *trouble) Error() string { return t.detail }

func troubled(kind, format string, args ...any) *trouble {
	return &trouble{kind, fmt.Sprintf(format, args...)}
}

// maxDetail bounds what others write into our log, in bytes.
const maxDetail = 300

// troubleOf finds the kind of an error that a source met.
func troubleOf(err error) *trouble {
	if t, ok := errors.AsType[*trouble](err); ok {
		return t
	}
	detail := explain.Line(err.Error(), maxDetail)
	switch {
	case cause.Timeout(err):
		return &trouble{"timeout", "no answer in time: " + detail}
	case errors.Is(err, config.ErrTooMany):
		return &trouble{"too many", detail + " backends: raise max_backends if that is meant"}
	}
	if mistakes, ok := errors.AsType[config.Errors](err); ok {
		detail = explain.Line(mistakes[0].Error(), maxDetail)
		if n := len(mistakes); n > 1 {
			detail += fmt.Sprintf(" (and %d more)", n-1)
		}
		return &trouble{"nonsense", detail}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return &trouble{"unreachable", detail}
	}
	if _, ok := errors.AsType[*os.PathError](err); ok {
		return &trouble{"unreadable", detail}
	}
	return &trouble{"failed", detail}
}
