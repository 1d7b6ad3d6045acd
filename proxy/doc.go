// Package proxy is the life of a request between a listener and a backend.
//
// # Reading order
//
//   - proxy.go: the Proxy, which outlives configurations, and [Runtime]
//     (runtime.go, router.go), which is one configuration compiled. A request
//     loads the Runtime once, so it never sees two.
//   - request.go: what a client asks for; fields.go and names.go parse its
//     header, client.go says who it is, key.go what it is balanced by.
//   - judge.go: the one place that refuses what two servers may read
//     differently; plainpath.go: paths as a backend may understand them.
//   - guard.go: who may use a route: access.go by address, origins.go by page,
//     token.go and forwardauth.go by what package auth says.
//   - exchange.go: one request and its answer. retry.go decides where it goes
//     and how often, forward.go makes one attempt, gather.go sends a body that
//     is there with its header, upload.go streams one up, answer.go streams one
//     down.
//   - headers.go: the header policy, pure. errors.go: the one table of what a
//     client gets when there is no answer to forward.
//   - shape.go: what a route changes beyond that: rules.go for header fields,
//     with the variables of template.go, rewrite.go for paths, reverse.go for
//     a backend's own addresses in its answers, forwarded.go for RFC 7239.
//     local.go: the answers of routes that lead to no pool.
//   - upstream.go, conn.go and backendtls.go: the connections to a backend.
//   - websocket.go, handover.go and socket.go: how a client's socket and a
//     backend's become a pair of package relay. queue.go: where handshakes wait
//     that the pool's limits do not let begin. frames.go: what the relay asks of
//     a route's frames. ledger.go: the open sockets, for who wants to see them.
//   - outcome.go: what a request or socket showed of its backend. report.go and
//     log.go: what operators read of it.
//
// # The header policy
//
// A request reaches a backend with its fields in their order, spelt and valued
// as the client sent them; target and query are forwarded byte by byte. Out of
// it go the fields of the hop (RFC 9110, section 7.6.1) and those that
// Connection names, unless requests depend on them; any Upgrade but a WebSocket
// handshake; and Expect, since fasthttp has sent the 100. Added are
// X-Forwarded-For, -Proto and -Host and X-Request-Id: what strangers send under
// these names, or as Forwarded, is dropped, what trusted_proxies send is kept,
// with their own address appended. Of an answer, names that fasthttp keeps
// apart (Content-Type, Content-Length, Content-Encoding, Server, Set-Cookie)
// come in their usual spelling.
//
// # Bodies
//
// Bodies of any size pass through a few buffers of 32 KiB. Those up to 8 KiB
// that have come already are sent in one piece with their header, and can be
// sent again. So is what has come of longer ones, up to 64 KiB, but once. What a backend sends is on its way to the client when it has
// come, whatever its framing. An answer that breaks off is cut off for the
// client too, without a last chunk or with bytes missing.
//
// # Retries
//
// An attempt that sent nothing is repeated at another backend. One that was
// answered nothing is, if the request has no body or an idempotent method (RFC
// 9110, section 9.2.2) and its body was kept. Anything else fails. That an idle
// connection to a backend was closed is no failure, and unseen: it is replaced.
//
// # Goroutines and locks
//
// An exchange runs in the goroutine of its connection; only a streamed request
// body that has not come as a whole has a second one. The pool of connections of each backend is behind a
// mutex that is held for a few instructions. A request of which nothing is
// streamed allocates nothing.
package proxy
