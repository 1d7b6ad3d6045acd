package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/internal/outbound"
)

// maxForwardBody bounds the body of a refusal that is delivered, in bytes.
const maxForwardBody = 64 << 10

// Forward has another server judge. Its methods may be called from any
// goroutine.
type Forward struct {
	client  *retryablehttp.Client
	url     string
	timeout time.Duration
}

// Answer is what the server said of a request that it does not simply pass.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // empty if the request passes
}

// Passes tells whether the request may go on.
func (a *Answer) Passes() bool { return a.Status >= 200 && a.Status < 300 }

// ErrBroken means that the server answered, and nothing that can be obeyed.
var ErrBroken = errors.New("auth server gave no usable answer")

// NewForward returns a Forward to url, which it does not dial yet, and always
// without a proxy: it is asked at every request.
func NewForward(url string, timeout time.Duration) *Forward {
	c := outbound.NewHTTPClient(0)
	c.Transport = &http.Transport{
		DisableCompression:     true,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &Forward{client: again(c), url: url, timeout: timeout}
}

// Ask sends fields to the server, which it takes over, and blocks until it has
// answered. An error that is ErrBroken means an answer that is of no use, any
// other one that there is none.
func (f *Forward) Ask(fields http.Header) (*Answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout)
	defer cancel()
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask auth server: %w", outbound.Cause(err))
	}
	req.Header = fields
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask auth server: %w", outbound.Cause(err))
	}
	defer func() { _ = resp.Body.Close() }()
	a := &Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Status < 200 || a.Status >= 500 {
		return nil, fmt.Errorf("%w: status %d", ErrBroken, a.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxForwardBody+1))
	switch {
	case a.Passes():
	case err != nil:
		return nil, fmt.Errorf("%w: its body broke off", ErrBroken)
	case len(body) > maxForwardBody:
		return nil, fmt.Errorf("%w: its body has more than %d bytes", ErrBroken, maxForwardBody)
	default:
		a.Body = body
	}
	return a, nil
}

// Close closes idle connections. Requests under way are finished.
func (f *Forward) Close() { f.client.HTTPClient.CloseIdleConnections() }
