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
// back a second later. A pair has one turn in each wakeup of its loop, a read
// in each direction, and who was not done comes after everybody else. Elsewhere
// a portable engine with two goroutines a pair keeps the same contract.
//
// A loop's goroutine waits for its turn behind all others that compute. Where
// these may be hundreds they do its work when it is overdue ([Relay.Help]), so a
// loop has a lock, which is taken once a wakeup; none of them waits for it.
//
// A payload of which 64 KiB or more are left, and that nobody has to read, is
// spliced from one socket to the other through a pipe, never past the end of
// its frame. A loop has one pipe, which is empty between two turns: what the
// other side does not take is copied out of it, and waits as after any read.
//
// # The life of a pair
//
//	             Open
//	              │ connect, or take Call.Spare; send the handshake
//	              ▼
//	          dialing ───────────────────────► dead: Owner.Failed, which
//	              │     refused, late, reset,        has the client back
//	              │     not a 101, client gone,
//	              │     farewell, Relay.Close
//	Owner.Answer, │ 101
//	Owner.Opened  ▼
//	            open ──────────► leaving
//	              │  End,          │ a Close is on its way to the client, or
//	              │  Farewell,     │ both; it waits for the end of the frame
//	              │  Call.Idle,    │ that is under way
//	              │  no answer to  │
//	              │  Pings, a      │ both have read it and ended, or said
//	              │  broken rule   │ Close; or the time is up
//	              │                ▼
//	              └──────────────► dead: Owner.Closed
//	  both sides ended, or said Close and one ended;
//	  one was reset, and the other has what was for it;
//	  one ended, and the other is silent for HalfCloseIdle;
//	  Relay.Close
//
// An open pair may rest, while [Relay.HandOver] takes it to another process: it
// is watched by nobody then, and its bytes wait in the kernel. It ends here
// without a word to its sockets or its Owner, and goes on there, open, by
// [Relay.Receive]; or goes on here, if it was not taken.
//
// A pair that is open may have one side that has ended and one that goes on:
// what that one says still passes.
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
// byte, what was sent before the Ping. One that had to wait for the end of a
// frame counts as the first. A side that is not read meanwhile, since the other
// takes nothing or it is above its rate, has said something that nobody knows:
// what counts for it is that its host acknowledges what it is sent, so that a
// client cannot have its backend given up, and a host that has vanished is
// missed as soon as any other. A pair whose sides are both alive, and take
// nothing from each other, is bounded by Call.Idle alone.
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
// back through [Owner.Failed]. It takes a [Spare] in any case, and never gives
// it back. From [Owner.Opened] on both descriptors belong to the loop until
// [Owner.Closed], which comes after they are closed. A pair is touched by its
// loop alone, or who helps it; an Owner's methods are called there and must not
// block.
// Other goroutines ask: [Relay.End] and [Relay.Each] leave an order with the
// loop, which obeys between two turns of its pairs. While a pair rests its
// descriptors are still the loop's, and who hands it over sends copies.
//
// # How an end travels
//
// Who ends a pair, and what each side then reads (TestCloseStates holds this
// table and the next):
//
//	a side's Close        the other: the Close, as any frame. After an answer and
//	                      a FIN of either, FIN to both: nothing can follow
//	a side's FIN          the other: everything sent before, then FIN (with TLS,
//	                      close_notify before it); the opposite direction goes on
//	                      until it ends too, or is silent for HalfCloseIdle. With
//	                      TLS, close_notify without FIN is one, and so is FIN
//	                      without it, since WebSocket has an ending of its own
//	a side's RST          the other: everything that had arrived, then RST; while
//	                      bytes are on their way, FIN behind them. What it still
//	                      says is dropped, and it is closed when it ends, has
//	                      everything, or takes nothing for HalfCloseIdle. A backend
//	                      that takes nothing as its client is reset has a second
//	a side's TLS fails    that side: an alert. The other: as after RST
//	a side takes nothing  nothing is lost: the other is not read meanwhile
//	End, Farewell         client: Close with that code on a frame boundary; what
//	                      it still sends, its Close included, reaches the backend.
//	                      If it ends without one, or the time is up, the backend
//	                      reads the same Close from us. Then FIN to both
//	silence for Idle      as after End, with 1001; a second later the time is up
//	no answer to Pings    both: Close 1001, each behind the frame that is under way
//	                      to it. A second later, or once both have answered: FIN
//	                      to both, or RST to a side that acknowledges nothing. One
//	                      that is not read has only to acknowledge
//	a broken rule         of Guard. Both: Close with the fault's code, each behind
//	                      the frame that is under way to it; nothing else passes.
//	                      A side that is in the middle of the faulty frame reads
//	                      its FIN; the rest of one that was held back for the rate
//	                      passes at once. A second later, or once both have
//	                      answered: FIN to both
//	Relay.Close           both: FIN, at once
//	client's early end    while its backend is dialled. Backend: closed, before
//	                      the WebSocket began
//
// And what [Summary] says of it. Code is 1005 for a Close without one, and 1006
// where there was none:
//
//	what happened first   Ender       Reason              Code
//	a side's Close        that side   "close frame"       of the Close
//	a side's FIN          that side   "end of stream"     1006
//	a side's RST          that side   "reset"             1006
//	a side's TLS fails    that side   "tls error"         1006
//	End, Farewell         holdfast    as ordered          as ordered
//	silence for Idle      holdfast    "idle timeout"      1001
//	no answer to Pings    holdfast    [ClientSilent],     1001
//	                                  [BackendSilent]
//	a broken rule         holdfast    of [Faults]         of [Faults]
//	Relay.Close           holdfast    "stopped"           1006
package relay
