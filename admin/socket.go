package admin

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// Socket is one open WebSocket as /api/v1/sockets shows it.
type Socket struct {
	ID      string     `json:"id"`
	Route   string     `json:"route"`
	Pool    string     `json:"pool"`
	Backend string     `json:"backend"`
	Client  netip.Addr `json:"client"` // empty: it came over a Unix socket
	// Key is a hash of the sticky key that no other process can compute: equal
	// keys have equal ones, and none leads back to its key, which may be a
	// secret. Empty: the socket has no key.
	Key             string    `json:"key,omitempty"`
	Opened          time.Time `json:"opened"`
	ClientToBackend Flow      `json:"client_to_backend"`
	BackendToClient Flow      `json:"backend_to_client"`
	IdleSeconds     float64   `json:"idle_seconds"`       // since a byte last came
	RoundTrip       *float64  `json:"round_trip_seconds"` // between Holdfast and the client; null: not known
	Leaving         bool      `json:"leaving,omitempty"`  // it has been told Close
}

// SocketQuery says which sockets to list.
type SocketQuery struct {
	Pool, Backend string       // empty: any
	Client        netip.Prefix // invalid: any
	Key           string       // the sticky key itself; empty: any
	After         string       // id of the last one of the page before; empty: from the first
	Limit         int          // at most so many; more than 0
}

// SocketPage is a part of the ledger, oldest socket first.
type SocketPage struct {
	Sockets []Socket `json:"sockets"`
	// Next is the cursor of the page behind this one; empty: there is none.
	Next string `json:"next,omitempty"`
	// Matched is how many open sockets the filter lets through, on all pages.
	Matched int `json:"matched"`
}

// Bounds of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

func (s *Server) sockets(ctx *fasthttp.RequestCtx, _ params) {
	if s.opts.Sockets == nil {
		errUnavailable.send(ctx)
		return
	}
	q, err := socketQuery(ctx.QueryArgs())
	if err != nil {
		err.send(ctx)
		return
	}
	page, failed := s.opts.Sockets(q)
	if failed != nil {
		s.sendError(ctx, failed)
		return
	}
	if page.Sockets == nil {
		page.Sockets = []Socket{}
	}
	sendJSON(ctx, fasthttp.StatusOK, page)
}

// socketQuery reads the parameters of a page.
func socketQuery(args *fasthttp.Args) (SocketQuery, *Problem) {
	q := SocketQuery{
		Pool: string(args.Peek("pool")), Backend: string(args.Peek("backend")), Key: string(args.Peek("key")),
		After: string(args.Peek("cursor")), Limit: defaultPage,
	}
	if text := string(args.Peek("limit")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return q, BadValue("limit", strconv.Quote(text)+" is out of range", "write 1 to "+strconv.Itoa(maxPage))
		}
		q.Limit = n
	}
	if text := string(args.Peek("address")); text != "" {
		var err error
		if q.Client, err = parsePrefix(text); err != nil {
			return q, BadValue("address", strconv.Quote(text)+" is neither an address nor a block",
				"write one such as 192.0.2.7 or 192.0.2.0/24")
		}
	}
	return q, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func (s *Server) socket(ctx *fasthttp.RequestCtx, p params) {
	if s.opts.Socket == nil {
		errUnavailable.send(ctx)
		return
	}
	found, ok := s.opts.Socket(p[0])
	if !ok {
		NoSocket(p[0]).send(ctx)
		return
	}
	sendJSON(ctx, fasthttp.StatusOK, found)
}

// maxReason is how many bytes a Close frame has for its reason (RFC 6455,
// section 5.5: 125, less the code).
const maxReason = 123

func (s *Server) closeSocket(ctx *fasthttp.RequestCtx, p params) {
	if s.opts.Control.CloseSocket == nil {
		errUnavailable.send(ctx)
		return
	}
	code := 1008 // the client has done nothing that another code describes
	if text := string(ctx.QueryArgs().Peek("code")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || !sendable(n) {
			BadValue("code", strconv.Quote(text)+" may not be sent", "write 1000 to 1003, 1007 to 1014, or 3000 to 4999").send(ctx)
			return
		}
		code = n
	}
	reason := string(ctx.QueryArgs().Peek("reason"))
	if reason == "" {
		reason = "closed by the operator"
	}
	if len(reason) > maxReason || !utf8.ValidString(reason) {
		BadValue("reason", "has "+strconv.Itoa(len(reason))+" bytes", "write 123 bytes of UTF-8 at most").send(ctx)
		return
	}
	if err := s.opts.Control.CloseSocket(p[0], uint16(code), reason); err != nil {
		s.sendError(ctx, err)
		return
	}
	sendJSON(ctx, fasthttp.StatusAccepted, struct {
		ID     string `json:"id"`
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}{p[0], code, reason})
}

// sendable tells the status codes that a Close frame may carry (RFC 6455,
// section 7.4, and the registry).
func sendable(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code < 1000 || code > 1014:
		return false
	}
	return code < 1004 || code > 1006
}
