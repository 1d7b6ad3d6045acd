// Package tlsconn has crypto/tls run over a transport that changes its kind.
//
// A [Conn] has two lives. In the first it lies on an ordinary connection that
// waits: the handshake is done there, and HTTP. [Conn.Detach] begins the
// second, in which it lies on nothing: whoever owns the socket passes what has
// come from it through [Conn.Open], and what is to go to it through
// [Conn.Seal]. That costs neither a goroutine nor a buffer, and is how an event
// loop has thousands of TLS connections. [Conn.Attach] goes back to the first.
//
// The second life rests on one promise of crypto/tls: a read error that is
// temporary (net.Error) leaves a connection as it was, in the middle of a
// record too. It holds once the handshake is complete; a handshake that fails
// is failed for ever, so it belongs to the first life.
//
// What a connection holds in its second life is what crypto/tls needs to go on:
// keys, and the part of a record that has come. Its input buffers are taken back
// (see lend.go).
//
// # Handshakes are let in one by one
//
// A handshake is a millisecond of arithmetic or so, and a flood of them would
// take every processor from the sockets that are open. So no more than half as
// many compute at a time as there are processors, at least one. One that waits
// for its peer holds no place, so that peers which say nothing keep nobody out.
package tlsconn
