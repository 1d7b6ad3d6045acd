package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/outbound"
)

const (
	attemptTimeout = 5 * time.Second
	retries        = 2
	pause          = 200 * time.Millisecond
	maxPause       = 2 * time.Second
)

var pageFailed = explain.Named("traces_failed").Page()

// client brings batches of spans to a collector: OTLP/HTTP in protobuf. It
// implements otlptrace.Client in place of the one in otlptracehttp, which
// brings gRPC with it. Uploads come one at a time.
type client struct {
	http    *retryablehttp.Client
	url     string
	host    string // of url, for the log
	headers map[string]config.Secret
	count   func(Result, int)
	log     *slog.Logger
	ctx     context.Context
	cancel  context.CancelFunc // ends the upload under way, and all later ones

	// Of the uploading goroutine.
	failing bool // the log has been told
	lost    int  // spans since then
}

func newClient(cfg config.Tracing, o Options) *client {
	c := &client{url: cfg.Endpoint, headers: cfg.Headers, count: o.Count, log: o.Log}
	if u, err := url.Parse(cfg.Endpoint); err == nil {
		c.host = u.Host
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.http = outbound.NewClient(outbound.Options{
		Timeout: attemptTimeout, Retries: retries, Pause: pause, MaxPause: maxPause, Again: mayPass,
	})
	return c
}

// mayPass tells whether another attempt may do better after that status, by the
// specification of OTLP.
func mayPass(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Start implements otlptrace.Client.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.HTTPClient.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It returns no error, since it tells
// of failures itself.
func (c *client) UploadTraces(_ context.Context, list []*tracepb.ResourceSpans) error {
	spans := 0
	for _, r := range list {
		for _, s := range r.ScopeSpans {
			spans += len(s.Spans)
		}
	}
	err := c.post(list)
	switch {
	case err == nil:
		c.count(Exported, spans)
		if c.failing {
			c.log.Info("the collector takes spans again", "endpoint", c.host, "lost", c.lost)
		}
		c.failing, c.lost = false, 0
		return nil
	case c.ctx.Err() == nil && !c.failing:
		c.failing = true
		c.log.Warn(pageFailed.Title, "code", pageFailed.Code.String(), "endpoint", c.host, "error", err,
			"cause", pageFailed.Cause, "remedy", pageFailed.Remedy)
	}
	c.count(Failed, spans)
	c.lost += spans
	return nil
}

func (c *client) post(list []*tracepb.ResourceSpans) error {
	// The same bytes as ExportTraceServiceRequest, whose package needs gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: list})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	fields := make(http.Header)
	for name, value := range c.headers {
		fields.Set(name, string(value))
	}
	fields.Set("Content-Type", "application/x-protobuf")
	fields.Set("User-Agent", "Holdfast")
	return outbound.Post(c.ctx, c.http, c.url, body, fields)
}
