package health

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/outbound"
)

const (
	// maxProbeHeader and maxProbeBody bound what a probe reads of an answer, in
	// bytes. A longer header fails the probe, a longer body is cut off.
	maxProbeHeader = 64 << 10
	maxProbeBody   = 64 << 10

	// Pauses between the retries of one probe: long enough for a listener's
	// backlog to move, short beside any sensible timeout.
	minRetryPause = 20 * time.Millisecond
	maxRetryPause = 200 * time.Millisecond
)

// httpChecker passes when a GET is answered in time with an expected status.
type httpChecker struct {
	client *retryablehttp.Client
	url    string
	expect config.Statuses
	text   string // expect as it was written
}

func newHTTPChecker(t Target) (*httpChecker, error) {
	expect, err := config.ParseStatuses(t.Spec.Expect)
	if err != nil {
		return nil, finding("health expect: " + err.Error())
	}
	return &httpChecker{
		client: &retryablehttp.Client{
			HTTPClient: &http.Client{
				Transport: &http.Transport{
					DialContext:     dialOf(t),
					TLSClientConfig: tlsOf(t),
					// Each probe makes a new connection, as a new client would,
					// and leaves none open.
					DisableKeepAlives:      true,
					DisableCompression:     true,
					MaxResponseHeaderBytes: maxProbeHeader,
				},
				// A redirect is an answer like any other: Expect judges it.
				CheckRedirect: outbound.NoRedirect,
			},
			RetryMax:     t.Spec.Retries,
			RetryWaitMin: minRetryPause,
			RetryWaitMax: maxRetryPause,
			CheckRetry:   outbound.RetryBroken,
			Backoff:      retryablehttp.DefaultBackoff,
		},
		url:    t.Scheme + "://" + t.Address + t.Spec.Path,
		expect: expect,
		text:   t.Spec.Expect,
	}, nil
}

func (c *httpChecker) check(ctx context.Context) answer {
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return failed(err)
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := c.client.Do(req)
	if err != nil {
		return failed(err)
	}
	defer resp.Body.Close()
	status := resp.StatusCode
	if !c.expect.Has(status) {
		return failed(finding(fmt.Sprintf("status %d, expected %s", status, c.text))).of(resp)
	}
	// The body counts too: a server that stalls halfway through its health
	// page would stall on others.
	if _, err := io.CopyN(io.Discard, resp.Body, maxProbeBody); err != nil && err != io.EOF {
		return failed(err).of(resp)
	}
	return passed(fmt.Sprintf("status %d", status)).of(resp)
}
