package accesslog

import (
	"net/netip"
	"time"
)

// Record is one line: a request, or a socket that has ended. The logger
// copies what it needs, so a Record and what it refers to may be used again
// once Log has returned.
type Record struct {
	Socket bool // a WebSocket that was open; otherwise a request

	Time      time.Time // when the request came
	Duration  time.Duration
	Listener  string
	Route     string
	Backend   string // name; empty: none was asked
	RequestID string

	Client    netip.Addr // zero: a Unix socket
	User      string     // who has shown a password that is right; empty: nobody
	Method    string
	Host      string
	URI       string // target as sent
	Proto     string // HTTP/1.1
	Referer   string
	UserAgent string

	Status   int
	BytesIn  uint64 // of the request's body; of a socket: from the client
	BytesOut uint64 // of the answer's body; of a socket: to the client
	Error    string // class of what went wrong; empty: nothing
	Code     string // of Error, or of how a socket ended: HF-2003; empty: none

	// Of a socket only.
	FramesIn, FramesOut uint64
	CloseCode           uint16
	ClosedBy            string // client, backend or holdfast
	CloseReason         string
}
