package admin

import (
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Sample is what the whole process carried at one moment, and has carried
// until then.
type Sample struct {
	At              int64  `json:"at"` // Unix time in milliseconds
	Active          Active `json:"active"`
	ClientToBackend Flow   `json:"client_to_backend"` // since the process began
	BackendToClient Flow   `json:"backend_to_client"`
}

// History is the last samples, for charts that need not begin empty. It is
// safe for concurrent use.
type History struct {
	mu   sync.Mutex // guards what follows
	ring []Sample   // the n-th is at n modulo its length
	n    int
}

// NewHistory keeps the last size samples.
func NewHistory(size int) *History { return &History{ring: make([]Sample, size)} }

// Add adds s, which is younger than all before.
func (h *History) Add(s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.n%len(h.ring)] = s
	h.n++
}

// after returns the samples that are younger than at, oldest first.
func (h *History) after(at int64) []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := []Sample{}
	for i := max(0, h.n-len(h.ring)); i < h.n; i++ {
		if s := h.ring[i%len(h.ring)]; s.At > at {
			list = append(list, s)
		}
	}
	return list
}

func (s *Server) history(ctx *fasthttp.RequestCtx, _ params) {
	if s.opts.History == nil {
		errUnavailable.send(ctx)
		return
	}
	after := int64(0)
	if text := string(ctx.QueryArgs().Peek("after")); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			BadValue("after", strconv.Quote(text)+" is no time", "write milliseconds of Unix time").send(ctx)
			return
		}
		after = n
	}
	sendJSON(ctx, fasthttp.StatusOK, struct {
		Now     int64    `json:"now"`
		Samples []Sample `json:"samples"`
	}{time.Now().UnixMilli(), s.opts.History.after(after)})
}
