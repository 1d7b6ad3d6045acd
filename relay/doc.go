// Package relay joins a client's socket and a backend's socket into a pair and
// pumps WebSocket frames between them until one side is done.
//
// # Engine
//
// On Linux a few event loops own all pairs, each with its own epoll instance,
// one goroutine and one read buffer. What a socket delivers is read into that
// buffer, walked by a frame [Scanner], and sent on from the same memory: no
// copy, no goroutine and no buffer belong to an idle pair. Only what the other
// side does not take at once is copied, and while such a rest exists the
// sending side is not read: that is the back-pressure, and it bounds a pair's
// memory to one read in each direction. Elsewhere a portable engine with two
// goroutines a pair keeps the same contract.
//
// # The life of a pair
//
//	          Open
//	           │  connect, send the handshake
//	           ▼
//	       ┌─dialing─┐  refused, late, reset, not a 101, client gone
//	       │         └──────────────► Owner.Failed  (the client goes back)
//	101    │ Owner.Answer, Owner.Opened
//	       ▼
//	     open ──── Farewell, silence ──► leaving   (Close sent to the client)
//	       │                                │
//	       │ both ended, or one reset       │ both ended, or its time is up
//	       └──────────────┬─────────────────┘
//	                      ▼
//	                Owner.Closed
//
// # TLS
//
// Either end may speak TLS: the client's connection comes with its handshake
// done (Call.ClientTLS), the backend's is done by Open on a goroutine
// (Call.BackendTLS), since crypto/tls cannot go on with a handshake that was
// interrupted. From then on both belong to the loop, which passes on what is
// said, in as few records as it needs: what one read of a socket delivered is
// opened, walked, sealed and sent at once, and only records that have come in
// part are kept, by crypto/tls. What a side has not taken is kept sealed.
//
// # Who owns what
//
// [Relay.Open] takes the client's descriptor when it returns nil, and gives it
// back through [Owner.Failed]. From [Owner.Opened] on both descriptors belong
// to the loop until [Owner.Closed], which comes after they are closed. A pair
// is touched by its loop alone; an Owner's methods are called on the loop and
// must not block. Other goroutines ask: [Relay.End] and [Relay.Each] leave an
// order with the loop, which obeys between two turns of its pairs.
//
// # How an end travels
//
//	one side does this         the other side sees
//	sends FIN                  everything sent before, then FIN (with TLS,
//	                           close_notify before it); the opposite
//	                           direction goes on until it ends too, or is
//	                           silent for HalfCloseIdle
//	sends RST, or its host     everything that had arrived, then RST; while
//	is found dead              bytes are on their way, FIN behind them. What it
//	                           still says is dropped, and it is closed when it
//	                           ends, has everything, or takes nothing for
//	                           HalfCloseIdle
//	close_notify               as FIN; a FIN without it is one as well, since
//	                           WebSocket has an ending of its own
//	breaks a rule of TLS       as RST; it is told by an alert
//	takes no more bytes        nothing is lost: the other is not read meanwhile
//	silent for Idle            client: Close 1001, then FIN. backend: FIN
//	Farewell                   client: Close with that code on a frame boundary;
//	                           what it still sends, its Close included, reaches
//	                           the backend; then FIN to both. Past the deadline:
//	                           both are closed
//	client ends while the      backend: closed before the WebSocket began
//	backend is still dialled
package relay
