package discovery

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/outbound"
)

const (
	// Retries of one fetch, on connection errors only.
	retries       = 2
	minRetryPause = 50 * time.Millisecond
	maxRetryPause = 500 * time.Millisecond

	// maxTag bounds what is kept of a server's ETag, in bytes.
	maxTag = 1 << 10
)

// httpSource asks a server for a list. It is for one goroutine.
type httpSource struct {
	c      config.HTTPDiscovery
	most   int
	client *retryablehttp.Client

	list []config.Backend // the last that was read
	tag  string           // its ETag; "": none
}

func newHTTPSource(c config.HTTPDiscovery, most int) *httpSource {
	return &httpSource{c: c, most: most, client: &retryablehttp.Client{
		HTTPClient:   outbound.NewHTTPClient(0), // fetch has a deadline
		RetryMax:     retries,
		RetryWaitMin: minRetryPause,
		RetryWaitMax: maxRetryPause,
		CheckRetry:   outbound.RetryBroken,
		Backoff:      retryablehttp.DefaultBackoff,
	}}
}

func (s *httpSource) close() { s.client.HTTPClient.CloseIdleConnections() }

// fetch asks for the list, or whether it has changed.
func (s *httpSource) fetch(ctx context.Context) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, s.c.URL, nil)
	if err != nil {
		return answer{}, outbound.Cause(err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "holdfast-discovery")
	if s.c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+string(s.c.Token))
	}
	if s.tag != "" {
		req.Header.Set("If-None-Match", s.tag)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return answer{}, outbound.Cause(err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNotModified && s.tag != "":
		return answer{backends: s.list, good: s.c.Interval}, nil
	case resp.StatusCode != http.StatusOK:
		return answer{}, troubled(fmt.Sprint("status ", resp.StatusCode), "status %s, expected 200", explain.Line(resp.Status, maxDetail))
	case resp.ContentLength > maxList:
		return answer{}, errTooLong
	}
	data, err := readBounded(resp.Body)
	if err != nil {
		return answer{}, err
	}
	list, err := config.ParseBackends(data, "answer.json", s.most)
	if err != nil {
		return answer{}, err
	}
	s.list = list
	if s.tag = resp.Header.Get("ETag"); len(s.tag) > maxTag {
		s.tag = ""
	}
	return answer{backends: list, good: s.c.Interval}, nil
}
