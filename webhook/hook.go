package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

// Between the attempts of one delivery: pause, twice that, four times that, or
// what the server asks for, up to maxPause.
const (
	retries  = 3
	maxPause = 10 * time.Second
)

// maxAnswer is what is read of an answer's body, in bytes.
const maxAnswer = 4 << 10

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
	req, err := retryablehttp.NewRequestWithContext(sp.ctx, http.MethodPost, sp.URL, m.Body)
	if err != nil {
		return cause(err)
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", h.s.opts.UserAgent)
	req.Header.Set("Webhook-Id", m.ID)
	req.Header.Set("Webhook-Timestamp", at)
	if sp.key != nil {
		req.Header.Set("Webhook-Signature", sign(sp.key, m.ID, at, m.Body))
	}
	h.client.HTTPClient.Timeout = sp.Timeout // the goroutine's own client
	resp, err := h.client.Do(req)
	if err != nil {
		return cause(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection can be used again
	_ = resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
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

// newClient returns a client that tries again where that may help, and follows
// no redirect: the server that was named is the one that may be told.
func newClient(pause time.Duration) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DisableCompression:     true,
				MaxIdleConnsPerHost:    1,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 64 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax: retries, RetryWaitMin: pause, RetryWaitMax: maxPause,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			switch {
			case ctx.Err() != nil:
				return false, ctx.Err()
			case err != nil:
				return true, nil
			}
			return resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout, nil
		},
		Backoff: func(low, high time.Duration, n int, resp *http.Response) time.Duration {
			return min(retryablehttp.DefaultBackoff(low, high, n, resp), high) // Retry-After may be anything
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// cause is err without what go-retryablehttp and net/http say around it: the
// URL, which may be a secret.
func cause(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}
