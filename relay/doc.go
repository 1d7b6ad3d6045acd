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
// memory to one read in each direction; buffers that a burst needed are given
// back a second later. Elsewhere a portable engine with two
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
//	     open ──── End, Farewell, ─────► leaving   (a Close is sent, or waits
//	       │       silence, a fault         │       for the end of a frame)
//	       │                                │
//	       │ both ended, or one reset       │ both ended, or its time is up
//	       └──────────────┬─────────────────┘
//	                      ▼
//	                Owner.Closed
//
// # Frames
//
// A Scanner knows where frames end, and that is where the relay says something
// of its own, a Close or a Ping, masked towards the backend: between two
// frames, so between the fragments of a message too, never inside one. A pair
// with Call.Guard or Call.Ping sends what it carries through a sieve in each
// direction, which walks the same headers, holds one back until it is whole,
// judges it, and takes answers to our Pings out; payloads pass in place, and
// are read for UTF-8 only. A client above its rate with Guard.Throttle is not
// read until there is room; what one read had brought is kept for it.
//
// Pings go to a side that has sent nothing for Call.Ping: at once, and at 1.44
// times that. It is given up at 1.88 times, unless it is still taking, byte by
// byte, what was sent before the Ping.
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
//	End, Farewell, and both    client: Close with that code on a frame boundary;
//	silent for Idle (1001)     what it still sends, its Close included, reaches
//	                           the backend. If it ends without one, or the time
//	                           is up, the backend reads the same Close from us.
//	                           Then FIN to both
//	breaks a rule of Guard     both: Close with the fault's code, each behind the
//	                           frame that is under way to it; nothing else
//	                           passes. A side that is in the middle of the
//	                           faulty frame reads its FIN. A second later, or
//	                           once both have answered: FIN to both
//	answers no Ping            as a fault, with 1001; a side that acknowledges
//	                           nothing is reset
//	client ends while the      backend: closed before the WebSocket began
//	backend is still dialled
package relay
