package webhook

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/outbound"
)

// Between the attempts of one delivery: pause, twice that, four times that, or
// what the server asks for, up to maxPause.
const (
	retries  = 3
	maxPause = 10 * time.Second
)

var (
	pageFailed  = explain.Named("webhook_failed").Page()
	pageDropped = explain.Named("webhook_dropped").Page()
)

// spec is a webhook as one configuration has it. It never changes.
type spec struct {
	config.Webhook
	key []byte // nil: nothing is signed

	// ctx ends when another spec takes its place, and with it the attempts of
	// a delivery.
	ctx    context.Context
	cancel context.CancelFunc
}

// hook is one server, with the goroutine that speaks to it.
type hook struct {
	s      *Sender
	name   string
	client *retryablehttp.Client
	queue  chan Message // closed by whoever holds s.mu and has taken h out of s.hooks, or closes s
	ctx    context.Context
	cancel context.CancelFunc // drops what waits

	spec    atomic.Pointer[spec]
	dropped atomic.Uint64 // that the log has not been told of

	// The goroutine's own.
	failing bool   // the log has been told
	lost    uint64 // deliveries that failed since
	full    bool   // the log has been told that events are dropped
}

func (h *hook) current() *spec { return h.spec.Load() }

// use has deliveries go by sp from now on. s.mu is held.
func (h *hook) use(sp *spec) {
	sp.ctx, sp.cancel = context.WithCancel(h.ctx)
	if was := h.spec.Swap(sp); was != nil {
		was.cancel()
	}
}

// run delivers what comes until the queue is closed and empty.
func (h *hook) run() {
	defer h.cancel()
	defer h.client.HTTPClient.CloseIdleConnections()
	for m := range h.queue {
		err := h.deliver(m)
		switch {
		case err == nil:
			h.s.opts.Count(h.name, Delivered)
		case h.ctx.Err() != nil:
			h.s.opts.Count(h.name, Dropped)
		default:
			h.s.opts.Count(h.name, Failed)
		}
		h.tell(err)
	}
}

// deliver sends m until it is taken, all attempts have failed, or the hook is
// cancelled.
func (h *hook) deliver(m Message) error {
	for {
		sp := h.current()
		err := h.post(sp, m)
		if err == nil || h.ctx.Err() != nil || h.current() == sp {
			return err
		}
		// A reload has come in between: by what it says, then.
	}
}

func (h *hook) post(sp *spec, m Message) error {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	fields := make(http.Header)
	fields.Set("Content-Type", "application/json")
	fields.Set("User-Agent", h.s.opts.UserAgent)
	fields.Set("Webhook-Id", m.ID)
	fields.Set("Webhook-Timestamp", at)
	if sp.key != nil {
		fields.Set("Webhook-Signature", sign(sp.key, m.ID, at, m.Body))
	}
	h.client.HTTPClient.Timeout = sp.Timeout // the goroutine's own client
	return outbound.Post(sp.ctx, h.client, sp.URL, m.Body, fields)
}

// tell logs when deliveries begin to fail or succeed again, and when events
// begin to be dropped.
func (h *hook) tell(err error) {
	log := h.s.opts.Log
	dropped := h.dropped.Swap(0)
	switch {
	case h.ctx.Err() != nil:
	case err != nil && !h.failing:
		h.failing, h.lost = true, 1
		log.Warn(pageFailed.Title, "code", pageFailed.Code.String(), "webhook", h.name, "error", err,
			"cause", pageFailed.Cause, "remedy", pageFailed.Remedy)
	case err != nil:
		h.lost++
	case h.failing:
		h.failing = false
		log.Info("webhook takes events again", "webhook", h.name, "lost", h.lost)
	}
	switch {
	case dropped > 0 && !h.full:
		h.full = true
		log.Warn(pageDropped.Title, "code", pageDropped.Code.String(), "webhook", h.name, "dropped", dropped,
			"cause", pageDropped.Cause, "remedy", pageDropped.Remedy)
	case len(h.queue) == 0:
		h.full = false
	}
}

// newClient returns what one hook posts with.
func newClient(pause time.Duration) *retryablehttp.Client {
	return outbound.NewClient(outbound.Options{Retries: retries, Pause: pause, MaxPause: maxPause, Again: mayPass})
}

// mayPass tells whether another attempt may do better after that status.
func mayPass(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}
