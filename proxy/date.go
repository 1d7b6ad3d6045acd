package proxy

import (
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// stamp is a Date value and the second that it is for.
type stamp struct {
	second int64
	text   []byte
}

var lastStamp atomic.Pointer[stamp]

// httpDate returns now as a Date value (RFC 9110, section 5.6.7). The result
// must not be changed.
func httpDate(now time.Time) []byte {
	s := lastStamp.Load()
	if s == nil || s.second != now.Unix() {
		s = &stamp{second: now.Unix(), text: fasthttp.AppendHTTPDate(nil, now)}
		lastStamp.Store(s)
	}
	return s.text
}

// addDate gives an answer the time at which it came, unless its backend has
// said when it was made (RFC 9110, section 6.6.1).
func addDate(h *fasthttp.ResponseHeader) {
	if fieldNamed(h, dateField) == nil {
		h.SetBytesKV(dateField, httpDate(time.Now()))
	}
}

var dateField = []byte("Date")
