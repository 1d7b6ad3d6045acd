package auth

import (
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/internal/outbound"
)

// again returns a client that asks once more when a connection failed.
func again(c *http.Client) *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient:   c,
		RetryMax:     1,
		RetryWaitMin: 20 * time.Millisecond,
		RetryWaitMax: 200 * time.Millisecond,
		Backoff:      retryablehttp.DefaultBackoff,
		CheckRetry:   outbound.RetryBroken,
	}
}
