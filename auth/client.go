package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// newClient returns a client that asks once more when a connection failed, and
// never follows a redirect: the server that was named is the one that is
// trusted.
func newClient(idle int) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: &http.Transport{
				DisableCompression:     true,
				MaxIdleConnsPerHost:    idle,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 64 << 10,
				ForceAttemptHTTP2:      false,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryMax:     1,
		RetryWaitMin: 20 * time.Millisecond,
		RetryWaitMax: 200 * time.Millisecond,
		Backoff:      retryablehttp.DefaultBackoff,
		CheckRetry: func(ctx context.Context, _ *http.Response, err error) (bool, error) {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			return err != nil, nil
		},
	}
}

// cause is err without what go-retryablehttp and net/http say around it: the
// URL, whose query may be a secret.
func cause(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}
