package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
	"github.com/holdfast-lb/holdfast/internal/tlsconn"
)

// Sides of a pair, and directions by the side that sends.
const (
	Client  = 0
	Backend = 1
)

const (
	// maxAnswer bounds the header of a backend's answer to a handshake, in
	// bytes, interim answers included.
	maxAnswer = 32 << 10
	// HalfCloseIdle ends a pair of which one side has sent its FIN and the
	// other has sent nothing for this long.
	HalfCloseIdle = 30 * time.Second
	// lastWords is how long a client has to answer a Close before its
	// connection is closed under it, where no deadline says otherwise.
	lastWords = time.Second
)

// Call is what a pair is made of.
type Call struct {
	// Client is the descriptor of a connected, non-blocking stream socket. The
	// relay owns it once Open has returned nil.
	Client int
	// ClientTLS is the TLS connection that lies on Client, in its second life;
	// nil: none does. It goes with Client.
	ClientTLS *tlsconn.Conn
	// Used tells that answers were sent on Client before this handshake.
	Used bool
	// Early are the bytes that the client sent behind its handshake. They
	// reach the backend after its 101. Early and Request are borrowed until
	// Owner.Opened or Owner.Failed, and not changed.
	Early []byte
	// Backend is where to connect.
	Backend netip.AddrPort
	// BackendTLS is how to speak TLS with the backend; nil: not at all. It
	// should disable dynamic record sizing, so that a message takes as few
	// records as it needs.
	BackendTLS *tls.Config
	// Spare is a connection to Backend, with that TLS, which is used in place
	// of a new one; nil: there is none. Open takes it, whatever comes of that.
	// A backend may have ended it meanwhile, so that it fails where a new one
	// would not.
	Spare *Spare
	// Preface is sent before everything else, in clear: a PROXY protocol
	// header. It is borrowed as Request is. No Spare with TLS goes with it.
	Preface []byte
	// Request is the handshake for the backend, a whole HTTP/1.1 request head.
	Request []byte
	// Connect bounds the connection, its TLS handshake included, Answer the
	// time from Open to the backend's whole answer header. Both must be above 0.
	Connect, Answer time.Duration
	// Idle ends a pair that was silent both ways for this long; 0: never. With
	// Ping only data frames count.
	Idle time.Duration
	// Ping is how long a client may be silent before it is sent a Ping. One
	// that leaves two unanswered is given up before it has been silent for
	// twice as long. 0: no Pings. PingBackend does the same with the backend.
	Ping        time.Duration
	PingBackend bool
	// Guard judges the frames; nil: nobody does. It is borrowed until
	// Owner.Failed or Owner.Closed, and not changed.
	Guard *Guard
	// ID names the pair for End and Each: not used before in this process,
	// which a number of NewID is. 0: Open sets it to one.
	ID uint64
	// Owner is told what becomes of the pair.
	Owner Owner
}

// Owner is told what becomes of a pair: Answer any number of times, then
// either Failed once, or Opened and Closed once each, with RoundTrip any number
// of times between. The methods are called one after the other, on an event
// loop or a goroutine that helps it, for which thousands of sockets wait, so
// they must not block; Failed also on another goroutine, where connecting to a
// backend takes one, before any other of them was called.
type Owner interface {
	// Answer judges the header of the backend's answer, which ends with an
	// empty line and is valid only during the call. It appends what the client
	// is to read to dst, or returns an error, which leads to Failed.
	Answer(dst, head []byte) ([]byte, error)
	// Opened tells that the answer is on its way to the client.
	Opened()
	// RoundTrip tells how long that side took to answer a Ping, between Opened
	// and Closed.
	RoundTrip(side int, d time.Duration)
	// Failed tells that no WebSocket came about and gives back what is named
	// in f.
	Failed(f Failure)
	// Closed tells that the pair has ended and both its sockets are closed.
	Closed(s Summary)
}

// Cause says why a pair never opened.
type Cause uint8

// Causes of a [Failure].
const (
	ConnectFailed  Cause = iota + 1 // refused, unreachable: the backend has seen nothing
	ConnectTimeout                  // no connection within Call.Connect
	AnswerTimeout                   // no whole answer within Call.Answer
	BackendEnded                    // the backend ended before its answer was whole
	NotUpgraded                     // Owner.Answer returned an error
	AnswerTooLarge                  // an answer header above 32 KiB
	ClientGone                      // the client ended first
	Stopping                        // the relay is saying farewell
	TLSFailed                       // no TLS with the backend: the request was not sent
)

// Failure gives a client back, with the reason.
type Failure struct {
	Cause Cause
	// Err is the system's error or that of Owner.Answer; may be nil.
	Err error
	// Client is the descriptor that Open took, with Call.ClientTLS. The
	// receiver owns both.
	Client int
	// Backend is a descriptor if Cause is NotUpgraded, otherwise -1. The
	// receiver owns it.
	Backend int
	// BackendTLS is the TLS connection that lies on Backend, in its second
	// life; nil: none does.
	BackendTLS *tlsconn.Conn
	// Received are the bytes that Backend has sent so far, header included, if
	// Cause is NotUpgraded. The receiver owns them.
	Received []byte
	// Answered tells that the backend had sent something before it failed.
	Answered bool
}

// Ender says who ended a pair.
type Ender uint8

// Enders of a pair: the side that first sent a Close frame or ended its
// connection, or Holdfast itself.
const (
	ByClient Ender = iota
	ByBackend
	ByHoldfast
)

func (e Ender) String() string {
	switch e {
	case ByClient:
		return "client"
	case ByBackend:
		return "backend"
	}
	return "holdfast"
}

// Summary is what a pair was.
type Summary struct {
	Bytes  [2]uint64 // WebSocket bytes delivered by that side
	Frames [2]uint64 // frames that began in them
	// Code is the status code of the first Close frame: 1005 if it had none,
	// 1006 if none was seen (RFC 6455, section 7.1.5).
	Code   uint16
	Ender  Ender
	Reason string        // "close frame", "end of stream", "reset", "tls error", "idle timeout" or that of the farewell
	Opened time.Duration // from the 101 to the end
}

// Live is what an open pair is now.
type Live struct {
	ID     uint64
	Owner  Owner
	Bytes  [2]uint64 // WebSocket bytes delivered by that side
	Frames [2]uint64 // frames that began in them
	// Age is the time since the 101, Idle that since a byte last came.
	Age, Idle time.Duration
	// RoundTrip is the time that side last took to answer a Ping of ours; 0:
	// it has answered none.
	RoundTrip [2]time.Duration
	// Leaving tells that Holdfast is ending it.
	Leaving bool
}

// Stats are totals over all pairs since the relay began, but for Pairs and
// Dialing, which are current.
type Stats struct {
	Pairs   int64
	Dialing int64
	Cut     int64 // ended under a Farewell, or after another Close of ours, since their time was up
	Bytes   [2]uint64
	Frames  [2][kinds]uint64
}

// ErrStopping is returned by Open after Farewell or Close.
var ErrStopping = errors.New("relay is stopping")

// errEarlyAnswer is what keeps a pair from opening whose client would go on in
// the middle of the handshake.
var errEarlyAnswer = errors.New("the backend agreed before it had taken the whole handshake")

// Options of a Relay.
type Options struct {
	// Loops is the number of event loops; at least 1. Each keeps one
	// processor busy at full load, so GOMAXPROCS is a good number.
	Loops int
	// Portable chooses the engine without epoll where both exist.
	Portable bool
}

// Relay owns pairs. All methods are safe for concurrent use.
type Relay struct {
	engines  []engine
	next     atomic.Uint32
	stopping atomic.Bool
}

// engine is what differs between systems.
type engine interface {
	open(c *Call) error
	load() int64 // pairs, dialing ones included
	stats(*Stats)
	each(yield func(*Live) bool) (more bool)
	dismiss(id uint64, f *farewell) bool
	farewell(*farewell)
	handOver(sum *Handover, give func([]Handed) (refused []bool, err error), gone func(Owner)) error
	receive(c *Call, s *Carried, backend int) error
	help()
	close()
}

// farewell is an order to end one pair, or every one.
type farewell struct {
	Fault
	at time.Time // deadline
}

var lastID atomic.Uint64

// NewID returns a number for [Call.ID]: 1, 2 and so on.
func NewID() uint64 { return lastID.Add(1) }

// New starts a relay. Close ends it.
func New(o Options) (*Relay, error) {
	r := &Relay{}
	if o.Portable || !sys.HasPoller {
		r.engines = []engine{newPortable()}
		return r, nil
	}
	for range max(1, o.Loops) {
		e, err := newLoop()
		if err != nil {
			r.Close()
			return nil, err
		}
		r.engines = append(r.engines, e)
	}
	return r, nil
}

// Open connects to c.Backend and makes a pair of it and c.Client once the
// backend has agreed. It does not wait: Owner hears how it went. When it
// returns an error nothing has happened and the caller still owns c.Client.
func (r *Relay) Open(c *Call) error {
	if c.ID == 0 {
		c.ID = NewID()
	}
	err := ErrStopping
	if !r.stopping.Load() {
		err = r.least().open(c)
	}
	if err != nil && c.Spare != nil {
		c.Spare.Close()
	}
	return err
}

// least returns the engine with the fewest pairs, beginning elsewhere each time
// so that equal ones take turns.
func (r *Relay) least() engine {
	n := len(r.engines)
	at := int(r.next.Add(1)) % n
	best := r.engines[at]
	low := best.load()
	for i := 1; i < n; i++ {
		if e := r.engines[(at+i)%n]; e.load() < low {
			best, low = e, e.load()
		}
	}
	return best
}

// Help has the caller do some of a loop's work, if that has not looked at its
// sockets for a millisecond: by Go's scheduler it would wait behind everybody who
// computes. It is for goroutines that may be hundreds, to call every few dozen
// microseconds, with no lock held that an Owner's methods take, and where a panic
// is not recovered. Each call asks one loop, and costs no more than a look at the
// clock if that is not overdue.
func (r *Relay) Help() { r.engines[rand.IntN(len(r.engines))].help() } // #nosec G404 -- no secret

// Stats returns the totals so far.
func (r *Relay) Stats() (s Stats) {
	for _, e := range r.engines {
		e.stats(&s)
	}
	return s
}

// End ends one pair politely: its client reads a Close with code, which must be
// one that may be sent, and reason on a frame boundary, and what has not ended
// after grace is closed. It does not wait for any of that. An earlier order
// stands, but for a grace that ends later. It is false if no open pair has
// that id. Thousands of calls in a row wake a loop a few times, and other pairs
// have their turns in between.
func (r *Relay) End(id uint64, code uint16, reason string, grace time.Duration) bool {
	f := &farewell{Fault{code, reason}, time.Now().Add(grace)}
	for _, e := range r.engines {
		if e.dismiss(id, f) {
			return true
		}
	}
	return false
}

// Each yields every open pair as it is at that moment, until yield returns
// false. A pair that is open throughout is yielded once. Live is valid during
// the call only. Each loop is asked for a few hundred of its pairs at a time,
// so that traffic does not wait, and yield may take its time; it is called on
// the caller's goroutine.
func (r *Relay) Each(yield func(*Live) bool) {
	for _, e := range r.engines {
		if !e.each(yield) {
			return
		}
	}
}

// Farewell ends every pair politely: each client reads a Close frame with code
// and reason on a frame boundary, and pairs that have not ended by the
// deadline of ctx are closed. New pairs are refused from now on. It returns
// when no pair is left, or with an error if some had to be cut.
func (r *Relay) Farewell(ctx context.Context, code uint16, reason string) error {
	r.stopping.Store(true)
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(24 * time.Hour)
	}
	before := r.Stats().Cut
	for _, e := range r.engines {
		e.farewell(&farewell{Fault{code, reason}, deadline})
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s := r.Stats()
		if s.Pairs+s.Dialing == 0 {
			if s.Cut > before {
				return context.DeadlineExceeded
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Close cuts every pair that is left, ends the loops and returns when their
// goroutines have ended.
func (r *Relay) Close() {
	r.stopping.Store(true)
	for _, e := range r.engines {
		e.close()
	}
}

func ender(side int) Ender {
	if side == Client {
		return ByClient
	}
	return ByBackend
}

// isInterim tells a 1xx answer other than 101 (RFC 9110, section 15.2).
func isInterim(head []byte) bool {
	const at = len("HTTP/1.1 ")
	return len(head) > at+3 && head[at] == '1' && string(head[at:at+3]) != "101"
}
