// Package listener owns the bound sockets: it accepts connections within the
// limits of the configuration and has fasthttp read requests from them.
//
// # Change without loss
//
// A [Set] holds the listeners of one process. [Set.Prepare] binds what is new
// and may fail without a trace; [Change.Commit] cannot fail: it starts what is
// new, gives what is kept its new limits, timeouts and handler without closing
// any connection, and stops what is gone, where requests under way are finished
// and upgraded sockets live on. A listener is identified by its address as
// written, so a new name keeps the socket.
//
// # Who reads when
//
// A [Conn] knows which part of a request fasthttp reads from it and keeps the
// deadlines itself, since fasthttp has one for a whole request, which would cut
// every long upload:
//
//   - Before a request: a connection that has not sent a byte within
//     timeouts.header, or is silent for timeouts.idle after an answer, is
//     closed without a word. (A 408 to a browser that connected ahead of need
//     would be taken for the answer to its first request.)
//   - In its header: 408 when the header is not complete within
//     timeouts.header, counted for the first request from the accept, for a
//     later one from its first bytes.
//   - In its body: [ErrBodyTimeout] after timeouts.body without a byte. Body
//     bytes that fasthttp reads ahead of the handler are answered with 408
//     here; later ones are the handler's to answer.
//     What frames a chunked body is bounded by what it frames (overhead.go).
//     Both hold to its end, though an answer may have begun before that and the
//     connection been hijacked for it.
//   - In the answer: a client that takes nothing for timeouts.body is cut off.
//
// A header over limits.max_header_bytes gets 431, anything that is not HTTP
// gets 400; both, like 408, are one plain line, and close the connection.
//
// Idle and body deadlines are never early and at most an eighth late: moving
// them at every read would cost more than the read's bookkeeping itself.
//
// # Who is at the other end
//
// A source in proxy_protocol must open with a PROXY header, version 1 or 2, of
// which the goroutine of the connection takes just its bytes, before anything
// else and within timeouts.header; from then on the connection is that of the
// client in it, for limits as for the handler. Until then it counts towards
// max_connections alone. Whoever is not listed is served as he is.
//
// # TLS
//
// Where Options.TLS has a configuration for a listener, the goroutine of a
// connection does the handshake before fasthttp sees it, within timeouts.header
// from the accept. Handshakes compute a few at a time (package tlsconn), so that
// a flood of them leaves open connections alone. HTTP in clear is answered with
// 400. A reload changes the configuration for connections to come; those that
// are open keep theirs.
//
// # Memory of idle connections
//
// fasthttp keeps a request, a read buffer of max_header_bytes and a write
// buffer with each idle keep-alive connection; its ReduceMemoryUsage does not
// give up the read buffer while bodies are streamed, and reads the first byte
// of every connection on its own. So a connection that has been silent for a
// second is parked instead: it leaves fasthttp, which takes back all that it
// lent, and waits for its next byte with nothing but a goroutine: 5.6 KB in
// place of 27.9 KB. Busy connections never pay for that. BenchmarkIdleConn has
// the figures.
//
// # Limits
//
// max_connections and max_connections_per_ip are checked at accept: one too
// many gets a static 503 or 429 and is closed, without ever holding up the
// accept loop. A connection counts until it is closed, an upgraded one until
// the release function of [Conn.Detach] is called. Addresses are IPv4 addresses
// and IPv6 /64 networks: a /64 is what one customer has, and one who may choose
// among 2^64 addresses is not limited by counting them singly. Clients of Unix
// sockets have no address and no limit per address.
//
// [Conn.AllowHandshake] is a token bucket per address that holds one second's
// worth. Its table remembers an address only while a bucket is not full, and
// 65,536 such addresses at most; beyond that it lets strangers pass.
//
// # Descriptors and memory running out
//
// An eighth of the descriptors that the process may have (64 to 1,024) is kept
// for open sockets, whose backends need some, and for the admin address, log
// files and reloads: a client whose connection gets one of these is refused
// with 503 (reserve.go, Linux). Should there be none at all, accepting pauses
// and is tried again. Where Options.Short says that memory is, new connections are
// refused with 503 too.
//
// # Cost of an accept
//
// On Linux one system call: accept4. TCP keep-alive and TCP_NODELAY are set once
// on the listening socket, which passes them on, and a connection joins Go's
// poller only when a read or write must wait (see lazyConn): one that opens with
// a WebSocket handshake never does, and its own descriptor goes to the relay.
// Elsewhere, and on Unix sockets, connections are those of package net. With
// defer_accept a connection is accepted when its first bytes are there.
package listener
