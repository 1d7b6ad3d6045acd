package proxy

import (
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/cause"
	"github.com/holdfast-lb/holdfast/internal/explain"
)

// class is why a request did not get a backend's whole answer. Its zero value
// is success. Clients and the access log see its name; addresses and the
// system's own words stay inside.
type class uint8

const (
	ok                class = iota
	badHost                 // no name and no address of a host
	badOptions              // Connection names too many fields
	noRoute                 // no route for this host and path
	noTunnel                // CONNECT: this is no forward proxy; TRACE
	badTarget               // a fragment, another scheme, bytes beyond ASCII
	badPath                 // routed by one rule, it may be served by another
	badMethod               // a standard method in another case
	badField                // a line of the header breaks RFC 9112, section 5
	badFraming              // Content-Length and Transfer-Encoding, or an unknown coding
	tooLong                 // more than maxFields
	badProtocol             // another version than HTTP/1.0 and 1.1
	stopping                // this process is ending
	noDescriptor            // no descriptor left to hand a socket over
	memoryShort             // the process is near its limit of memory
	badHandshake            // breaks RFC 6455, section 4.2.1
	badVersion              // another version of WebSocket than 13
	tooManyHandshakes       // limits.handshakes_per_second_per_ip
	bodyTooLarge            // limits.max_body_bytes
	bodyTimeout             // timeouts.body of the listener
	bodyBroken              // the request's chunks are malformed
	clientGone              // the client left; nobody reads an answer
	noBackend               // none up and ready
	allFull                 // each at max_connections
	paced                   // limits.handshakes_per_second of the pool
	queueFull               // queue.size
	queueTimeout            // queue.timeout
	refused                 // no connection to the backend
	connectTimeout          // no connection within timeouts.connect
	untrusted               // the backend's certificate is not believed
	noTLS                   // no TLS connection to the backend
	broken                  // the backend closed the connection before an answer
	badAnswer               // what came is no HTTP answer to this request
	late                    // no answer within timeouts.response
	cut                     // the answer broke off in its body: the status had been sent
	unsupported             // not in this build

	addressDenied      // access
	originDenied       // origins
	credentialsMissing // auth.basic: none were sent
	credentialsWrong   // auth.basic
	authBusy           // auth.basic: too many passwords at a time
	tokenMissing       // auth.jwt: none was sent
	tokenWrong         // auth.jwt: malformed, or signed by somebody else
	tokenExpired       // auth.jwt
	tokenAudience      // auth.jwt: for another service
	keysMissing        // auth.jwt: jwks_url has not answered yet
	authDenied         // auth.forward said so, in its own words
	authUnavailable    // auth.forward did not answer
	authBroken         // auth.forward failed

	classes
)

// answers is the table of what a client gets for each class. Package explain
// has a row of the same name, with its code.
var answers = [classes]struct {
	status int
	name   string // for log and metrics
	reason string // for people
}{
	ok:                {fasthttp.StatusOK, "", ""},
	badHost:           {fasthttp.StatusBadRequest, "bad_host", "the Host field names no host"},
	badOptions:        {fasthttp.StatusBadRequest, "bad_connection_header", "too many connection options"},
	noRoute:           {fasthttp.StatusNotFound, "no_route", "no route for this host and path"},
	noTunnel:          {fasthttp.StatusNotImplemented, "no_tunnel", "CONNECT and TRACE are not supported"},
	badTarget:         {fasthttp.StatusBadRequest, "bad_target", "the request target is not valid"},
	badPath:           {fasthttp.StatusBadRequest, "bad_path", "the path can be understood in more than one way"},
	badMethod:         {fasthttp.StatusBadRequest, "bad_method", "methods are written in upper case"},
	badField:          {fasthttp.StatusBadRequest, "bad_header", "a header field is malformed"},
	badFraming:        {fasthttp.StatusBadRequest, "bad_framing", "the length of the request is in doubt"},
	tooLong:           {fasthttp.StatusRequestHeaderFieldsTooLarge, "too_many_fields", "the header has too many fields"},
	badProtocol:       {fasthttp.StatusHTTPVersionNotSupported, "bad_protocol", "HTTP/1.1 and HTTP/1.0 are supported"},
	stopping:          {fasthttp.StatusServiceUnavailable, "stopping", "server is shutting down"},
	noDescriptor:      {fasthttp.StatusServiceUnavailable, "overloaded", "too many connections are open"},
	memoryShort:       {fasthttp.StatusServiceUnavailable, "memory_short", "the server is short of memory"},
	badHandshake:      {fasthttp.StatusBadRequest, "bad_handshake", "not a valid WebSocket handshake"},
	badVersion:        {fasthttp.StatusUpgradeRequired, "bad_websocket_version", "WebSocket version 13 is required"},
	tooManyHandshakes: {fasthttp.StatusTooManyRequests, "too_many_handshakes", "too many WebSocket handshakes from this address"},
	bodyTooLarge:      {fasthttp.StatusRequestEntityTooLarge, "body_too_large", "request body too large"},
	bodyTimeout:       {fasthttp.StatusRequestTimeout, "body_timeout", "request body came too slowly"},
	bodyBroken:        {fasthttp.StatusBadRequest, "body_broken", "request body is malformed"},
	clientGone:        {fasthttp.StatusBadRequest, "client_gone", "request body ended early"},
	noBackend:         {fasthttp.StatusServiceUnavailable, "no_backend", "no backend is available"},
	allFull:           {fasthttp.StatusServiceUnavailable, "backends_full", "all backends are busy"},
	paced:             {fasthttp.StatusServiceUnavailable, "handshakes_paced", "too many sockets are being opened"},
	queueFull:         {fasthttp.StatusServiceUnavailable, "queue_full", "too many players are waiting"},
	queueTimeout:      {fasthttp.StatusServiceUnavailable, "queue_timeout", "no place came free in time"},
	refused:           {fasthttp.StatusBadGateway, "connect_failed", "backend refused the connection"},
	connectTimeout:    {fasthttp.StatusGatewayTimeout, "connect_timeout", "backend did not accept the connection in time"},
	untrusted:         {fasthttp.StatusBadGateway, "backend_untrusted", "backend's certificate is not trusted"},
	noTLS:             {fasthttp.StatusBadGateway, "backend_tls_failed", "no TLS connection to the backend"},
	broken:            {fasthttp.StatusBadGateway, "backend_broken", "backend closed the connection before answering"},
	badAnswer:         {fasthttp.StatusBadGateway, "bad_answer", "backend gave an invalid answer"},
	late:              {fasthttp.StatusGatewayTimeout, "answer_timeout", "backend did not answer in time"},
	cut:               {fasthttp.StatusBadGateway, "answer_cut", "backend broke off its answer"},
	unsupported:       {fasthttp.StatusNotImplemented, "unsupported", "not supported"},

	addressDenied:      {fasthttp.StatusForbidden, "address_denied", "this address may not come in"},
	originDenied:       {fasthttp.StatusForbidden, "origin_denied", "pages of this origin may not open WebSockets here"},
	credentialsMissing: {fasthttp.StatusUnauthorized, "credentials_missing", "a name and a password are required"},
	credentialsWrong:   {fasthttp.StatusUnauthorized, "credentials_wrong", "name or password is wrong"},
	authBusy:           {fasthttp.StatusServiceUnavailable, "auth_busy", "too many passwords are being verified"},
	tokenMissing:       {fasthttp.StatusUnauthorized, "token_missing", "a token is required"},
	tokenWrong:         {fasthttp.StatusUnauthorized, "token_wrong", "the token is not valid"},
	tokenExpired:       {fasthttp.StatusUnauthorized, "token_expired", "the token has expired"},
	tokenAudience:      {fasthttp.StatusUnauthorized, "token_audience", "the token is for another service"},
	keysMissing:        {fasthttp.StatusServiceUnavailable, "keys_missing", "tokens cannot be verified yet"},
	authDenied:         {fasthttp.StatusForbidden, "auth_denied", "not allowed"},
	authUnavailable:    {fasthttp.StatusServiceUnavailable, "auth_unavailable", "the auth server does not answer"},
	authBroken:         {fasthttp.StatusBadGateway, "auth_broken", "the auth server failed"},
}

// statusClientGone is what log and metrics have for a client that left, as with
// other proxies. Nobody can read it.
const statusClientGone = 499

// retryAfter is what a 503 suggests, in seconds: about how long a probe takes
// to find a backend up again.
const retryAfter = "1"

// ends tells whether the client's connection ends with the answer: what follows
// may be meant as part of the same request, or the connection's memory is
// needed.
func (c class) ends() bool {
	switch c {
	case badHost, badOptions, badTarget, badPath, badMethod, badField, badFraming, tooLong, badProtocol, noTunnel, memoryShort:
		return true
	}
	return false
}

func (c class) status() int    { return answers[c].status }
func (c class) String() string { return answers[c].name }

// codes are those of the classes.
var codes = func() (codes [classes]explain.Code) {
	for c := ok + 1; c < classes; c++ {
		codes[c] = explain.Named(answers[c].name)
	}
	return codes
}()

func (c class) code() explain.Code { return codes[c] }

// appendBody appends the one line that the client reads.
func (c class) appendBody(dst []byte, id *requestID) []byte {
	return c.appendLine(dst, answers[c].reason, id)
}

// appendLine is appendBody with a closer reason.
func (c class) appendLine(dst []byte, reason string, id *requestID) []byte {
	dst = append(dst, c.code().String()...)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	dst = append(dst, " ("...)
	dst = append(dst, answers[c].name...)
	dst = append(dst, ", request "...)
	dst = append(dst, id.bytes()...)
	return append(dst, ")\n"...)
}

// write makes resp the answer for the class, dropping what was in it.
func (c class) write(resp *fasthttp.Response, id *requestID) {
	resp.Reset()
	resp.SetStatusCode(c.status())
	resp.Header.SetContentType("text/plain; charset=utf-8")
	switch c.status() {
	case fasthttp.StatusServiceUnavailable, fasthttp.StatusTooManyRequests:
		resp.Header.Set("Retry-After", retryAfter)
	case fasthttp.StatusUpgradeRequired: // RFC 6455, section 4.2.2, and RFC 9110, section 7.8
		resp.Header.Set("Sec-WebSocket-Version", "13")
		resp.Header.Set("Upgrade", "websocket")
	}
	var line [256]byte
	resp.SetBody(c.appendBody(line[:0], id))
}

// appendAnswer appends the whole answer for the class, for a connection that
// fasthttp serves no longer and that is closed behind it. retry is the
// Retry-After of a 503 in seconds; 0: the usual one.
func (c class) appendAnswer(dst []byte, id *requestID, retry int) []byte {
	var line [256]byte
	body := c.appendBody(line[:0], id)
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(c.status()), 10)
	dst = append(dst, ' ')
	dst = append(dst, fasthttp.StatusMessage(c.status())...)
	dst = append(dst, "\r\nDate: "...)
	dst = fasthttp.AppendHTTPDate(dst, time.Now())
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"...)
	if c.status() == fasthttp.StatusServiceUnavailable {
		dst = append(dst, "Retry-After: "...)
		if retry > 0 {
			dst = strconv.AppendInt(dst, int64(retry), 10)
		} else {
			dst = append(dst, retryAfter...)
		}
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}

// classOfPick returns the class of balancer.Pool.Pick's error.
func classOfPick(err error) class {
	switch {
	case errors.Is(err, balancer.ErrAllFull):
		return allFull
	case errors.Is(err, balancer.ErrPaced):
		return paced
	}
	return noBackend
}

// classOfDial returns the class of an error to connect.
func classOfDial(err error) class {
	switch {
	case cause.Timeout(err):
		return connectTimeout
	case isTLS(err):
		return classOfTLS(err)
	}
	return refused
}

// past is a deadline that has expired: it wakes whoever reads.
var past = time.Unix(1, 0)
