package tracing

import (
	"context"
	"encoding/hex"
	"net"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Remote is the trace context that came with a request (W3C Trace Context,
// section 3.2), its fields as they were sent.
type Remote struct {
	Parent, State string
	// Trusted: who sent it decides which traces are kept.
	Trusted bool
}

// Get implements [propagation.TextMapCarrier].
func (r Remote) Get(key string) string {
	switch key {
	case "traceparent":
		return knownFlags(r.Parent)
	case "tracestate":
		return r.State
	}
	return ""
}

// knownFlags is a parent of version 00 without the flags that this version does
// not know: they do not count (Trace Context, section 3.2.2.5), but the library
// drops a parent that has one.
func knownFlags(parent string) string {
	const at = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-")
	if len(parent) != at+2 || !strings.HasPrefix(parent, "00-") || strings.ContainsAny(parent[at:], "ABCDEF") {
		return parent
	}
	flags, err := strconv.ParseUint(parent[at:], 16, 8)
	if err != nil || flags <= 3 {
		return parent
	}
	return parent[:at] + "0" + strconv.FormatUint(flags&3, 16)
}

// Set implements [propagation.TextMapCarrier], and is never called.
func (Remote) Set(string, string) {}

// Keys implements [propagation.TextMapCarrier].
func (Remote) Keys() []string { return []string{"traceparent", "tracestate"} }

// Span is one span, from its beginning to End. It belongs to one goroutine at a
// time. As nil it is none, and all its methods do nothing.
type Span struct {
	t    *Tracer
	ctx  context.Context
	span trace.Span
}

// Begin begins the span of a request that came at that time.
func (t *Tracer) Begin(from Remote, at time.Time) *Span {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(at)}
	ctx := context.Background()
	if from.Parent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, from)
	}
	if remote := trace.SpanContextFromContext(ctx); remote.IsValid() && !from.Trusted {
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: remote}))
	}
	ctx, span := t.tracer.Start(ctx, "request", options...)
	return &Span{t, ctx, span}
}

// Kept tells whether what is said of the span is of any use.
func (s *Span) Kept() bool { return s != nil && s.span.IsRecording() }

// Request is what a span tells of a request.
type Request struct {
	Method, Scheme, Host, Path, Protocol, UserAgent, Client string
	ID, Listener                                            string
	Route, RoutePath                                        string // empty: none
}

// Describe tells what is asked for. The strings are the span's from now on.
// Only the path of the target is told: a query may hold what is secret.
func (s *Span) Describe(r *Request) {
	if !s.Kept() {
		return
	}
	method := methodOf(r.Method)
	name := method
	attributes := make([]attribute.KeyValue, 0, 14)
	attributes = append(attributes,
		attribute.String("http.request.method", method),
		attribute.String("url.scheme", r.Scheme),
		attribute.String("url.path", r.Path),
		attribute.String("server.address", hostOf(r.Host)),
		attribute.String("network.protocol.version", r.Protocol),
		attribute.String("client.address", r.Client),
		attribute.String("holdfast.request_id", r.ID),
		attribute.String("holdfast.listener", r.Listener),
	)
	if method != r.Method {
		attributes = append(attributes, attribute.String("http.request.method_original", r.Method))
	}
	if r.UserAgent != "" {
		attributes = append(attributes, attribute.String("user_agent.original", r.UserAgent))
	}
	if r.Route != "" {
		name += " " + r.RoutePath
		attributes = append(attributes, attribute.String("http.route", r.RoutePath), attribute.String("holdfast.route", r.Route))
	}
	s.span.SetName(name)
	s.span.SetAttributes(attributes...)
}

// hostOf is a host without its port.
func hostOf(authority string) string {
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}

// knownMethods are those of which spans have the name.
var knownMethods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

// methodOf is a method as spans have it: those that are not known are one, so
// that a client cannot make names without end. It is no part of method, whose
// memory may be a request's.
func methodOf(method string) string {
	for _, known := range knownMethods {
		if known == method {
			return known
		}
	}
	return "_OTHER"
}

// Attempt begins the span of an attempt at a backend; n is 0 for the first.
// method may change once it has returned.
func (s *Span) Attempt(pool, backend, address, method string, n int) *Span {
	if s == nil {
		return nil
	}
	ctx, span := s.t.tracer.Start(s.ctx, "attempt", trace.WithSpanKind(trace.SpanKindClient))
	a := &Span{s.t, ctx, span}
	if !a.Kept() {
		return a
	}
	method = methodOf(method)
	span.SetName(method)
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	span.SetAttributes(
		attribute.String("http.request.method", method),
		attribute.String("server.address", host),
		attribute.Int("server.port", number),
		attribute.String("holdfast.pool", pool),
		attribute.String("holdfast.backend", backend),
	)
	if n > 0 {
		span.SetAttributes(attribute.Int("http.request.resend_count", n))
	}
	return a
}

// Event notes that something happens now.
func (s *Span) Event(name string) {
	if s.Kept() {
		s.span.AddEvent(name)
	}
}

// End ends the span with the status of the answer, 0 for none, and what failed
// in a word and by its code, which may be empty. An answer of 500 and more is a
// failure, and so is none.
func (s *Span) End(status int, failed, code string) {
	if s == nil {
		return
	}
	if s.Kept() {
		s.conclude(status, failed, code)
	}
	s.span.End()
}

func (s *Span) conclude(status int, failed, code string) {
	if status > 0 {
		s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if code != "" {
		s.span.SetAttributes(attribute.String("holdfast.code", code))
	}
	if failed == "" && status >= 500 {
		failed = strconv.Itoa(status)
	}
	if failed == "" {
		return
	}
	s.span.SetAttributes(attribute.String("error.type", failed))
	if status == 0 || status >= 500 {
		s.span.SetStatus(codes.Error, failed)
	}
}

// AppendFields appends the fields of the span's context to a request head.
func (s *Span) AppendFields(dst []byte) []byte {
	sc := s.span.SpanContext()
	dst = append(dst, "traceparent: "...)
	dst = append(appendParent(dst, sc), '\r', '\n')
	if state := sc.TraceState().String(); state != "" {
		dst = append(dst, "tracestate: "...)
		dst = append(dst, state...)
		dst = append(dst, '\r', '\n')
	}
	return dst
}

// AppendParent appends the value of the field traceparent.
func (s *Span) AppendParent(dst []byte) []byte { return appendParent(dst, s.span.SpanContext()) }

func appendParent(dst []byte, sc trace.SpanContext) []byte {
	id, parent := sc.TraceID(), sc.SpanID()
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, id[:])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, parent[:])
	if sc.IsSampled() {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}
