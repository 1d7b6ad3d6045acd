package auth

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/internal/outbound"
)

// newClient returns a client that asks once more when a connection failed, and
// never follows a redirect: the server that was named is the one that is
// trusted. proxy is as in [http.Transport]; nil: none.
func newClient(idle int, proxy func(*http.Request) (*url.URL, error)) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: &http.Transport{
				Proxy:                  proxy,
				DisableCompression:     true,
				MaxIdleConnsPerHost:    idle,
				IdleConnTimeout:        30 * time.Second,
				MaxResponseHeaderBytes: 64 << 10,
			},
			CheckRedirect: outbound.NoRedirect,
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
