// Package outbound is how Holdfast speaks to servers that an operator has named
// beside the backends: those of webhooks, of traces, of keys and of lists. The
// server that was named is the one that is spoken to, and its URL, which may
// hold a secret, stands in no error. Probes of backends share what is written
// here of HTTP itself.
package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	maxHeader = 64 << 10 // bytes of an answer's header
	maxAnswer = 4 << 10  // bytes of an answer's body that are read, so that its connection can be used again
)

// Options are how often and how fast a client tries again.
type Options struct {
	Timeout time.Duration // of one attempt; 0: none
	Retries int           // beside the first attempt
	// Pause is the first pause; each is twice the one before, or what the
	// server asks for, and MaxPause at most.
	Pause, MaxPause time.Duration
	// Again tells whether another attempt may do better after this status. One
	// without an answer is always worth it.
	Again func(status int) bool
}

// NewHTTPClient returns a client for one server, which goes by way of the proxy
// that the environment names, and follows no redirect: where another server
// would be asked is for the operator to say. timeout is of one attempt; 0: none.
// The caller closes its idle connections.
func NewHTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DisableCompression:     true, // what is small may be large
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: NoRedirect,
	}
}

// NewClient returns a [NewHTTPClient] that tries again, for [Post].
func NewClient(o Options) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: NewHTTPClient(o.Timeout),
		RetryMax:   o.Retries, RetryWaitMin: o.Pause, RetryWaitMax: o.MaxPause,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			switch {
			case ctx.Err() != nil:
				return false, ctx.Err()
			case err != nil:
				return true, nil
			}
			return o.Again(resp.StatusCode), nil
		},
		Backoff: func(low, high time.Duration, n int, resp *http.Response) time.Duration {
			return min(retryablehttp.DefaultBackoff(low, high, n, resp), high) // Retry-After may be anything
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// RetryBroken is a retryablehttp.CheckRetry: another attempt is worth it when no
// answer came because the connection could not be made or broke. An answer,
// whatever its status, is never asked for twice, nor is what came too late.
func RetryBroken(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if err == nil || ctx.Err() != nil {
		return false, nil
	}
	if broken, ok := errors.AsType[*net.OpError](err); ok {
		return !broken.Timeout(), nil
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF), nil
}

// NoRedirect is an [http.Client]'s CheckRedirect that has a redirect be an
// answer like any other.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Post sends body with these fields, which are its own from now on, and drops
// the answer. Any status but 2xx is an error. It blocks until the attempts have
// ended, or ctx has.
func Post(ctx context.Context, c *retryablehttp.Client, to string, body []byte, fields http.Header) error {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, to, body)
	if err != nil {
		return Cause(err)
	}
	req.Header = fields
	resp, err := c.Do(req)
	if err != nil {
		return Cause(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	_ = resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// Cause is err without what go-retryablehttp and net/http say around it: the
// URL, whose path or query may be a secret.
func Cause(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
