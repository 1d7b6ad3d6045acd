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
	// Number is never used twice in a process, and larger for a socket that
	// was begun later.
	Number  uint64     `json:"-"`
	ID      string     `json:"id"` // made of Number by this package
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

// Ledger is where open sockets are known.
type Ledger struct {
	// Each yields every open socket, in any order, until yield returns false.
	// It may block for as long as event loops need to answer. What it yields
	// is valid during the call only, but for its strings.
	Each func(yield func(*Socket) bool)
	// HashKey returns the Socket.Key of a sticky key.
	HashKey func(key string) string
	// Close has the client of one socket read a Close, and does not wait. It
	// is false if no open socket has that number.
	Close func(number uint64, code uint16, reason string) bool
}

// Bounds of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

func (s *Server) sockets(ctx *fasthttp.RequestCtx, _ params) {
	if s.opts.Ledger.Each == nil {
		errUnavailable.send(ctx)
		return
	}
	q, err := s.socketQuery(ctx.QueryArgs())
	if err != nil {
		err.send(ctx)
		return
	}
	sendJSON(ctx, fasthttp.StatusOK, s.read(q))
}

// socketQuery reads the parameters of a page.
func (s *Server) socketQuery(args *fasthttp.Args) (q socketQuery, problem *Problem) {
	q = socketQuery{pool: string(args.Peek("pool")), backend: string(args.Peek("backend")), limit: defaultPage}
	if key := string(args.Peek("key")); key != "" && s.opts.Ledger.HashKey != nil {
		q.key = s.opts.Ledger.HashKey(key)
	}
	if text := string(args.Peek("limit")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return q, BadValue("limit", strconv.Quote(text)+" is out of range", "write 1 to "+strconv.Itoa(maxPage))
		}
		q.limit = n
	}
	if text := string(args.Peek("cursor")); text != "" {
		n, ok := s.socketNumber(text)
		if !ok {
			return q, BadValue("cursor", strconv.Quote(text)+" is none of this process", "begin again without one")
		}
		q.after = n
	}
	if text := string(args.Peek("address")); text != "" {
		var err error
		if q.client, err = parsePrefix(text); err != nil {
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
	if s.opts.Ledger.Each == nil {
		errUnavailable.send(ctx)
		return
	}
	var found *Socket
	if n, ok := s.socketNumber(p[0]); ok {
		s.opts.Ledger.Each(func(one *Socket) bool {
			if one.Number == n {
				copied := *one
				found = &copied
			}
			return found == nil
		})
	}
	if found == nil {
		NoSocket(p[0]).send(ctx)
		return
	}
	found.ID = s.socketID(found.Number)
	sendJSON(ctx, fasthttp.StatusOK, found)
}

// maxReason is how many bytes a Close frame has for its reason (RFC 6455,
// section 5.5: 125, less the code).
const maxReason = 123

func (s *Server) closeSocket(ctx *fasthttp.RequestCtx, p params) {
	if s.opts.Ledger.Close == nil {
		errUnavailable.send(ctx)
		return
	}
	code := 1008 // the client has done nothing that another code describes
	if text := string(ctx.QueryArgs().Peek("code")); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || !sendable(n) {
			BadValue("code", strconv.Quote(text)+" may not be sent", "write 1000 to 1003, 1007 to 1014 but 1010, or 3000 to 4999").send(ctx)
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
	n, ok := s.socketNumber(p[0])
	if !ok || !s.opts.Ledger.Close(n, uint16(code), reason) {
		NoSocket(p[0]).send(ctx)
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
