package relay

import (
	"bytes"
	"math"
)

// Guard is what frames must keep to. The bounds are on what the client sends;
// that frames are well formed, and text UTF-8, is asked of both sides. Sizes
// are those on the wire, so of compressed messages as they are compressed. The
// zero value asks only that frames are well formed (RFC 6455, section 5), and has nothing behind a
// side's Close pass (section 5.5.1).
//
// The side that breaks a rule, and the other one, read a Close; a frame whose
// header breaks it does not reach the other side at all.
type Guard struct {
	MaxMessage uint64 // payload bytes of a message, over its fragments; 0: any; Close 1009
	MaxFrame   uint64 // payload bytes of a frame; 0: any; Close 1009
	// Messages bounds messages and control frames, Bytes what comes on the
	// wire, headers included; Close 1008.
	Messages, Bytes Rate
	// Throttle makes a client that is over Messages or Bytes wait: it is not
	// read meanwhile.
	Throttle bool
	// UTF8 asks that uncompressed text, and the reason of a Close, is UTF-8;
	// Close 1007.
	UTF8 bool
}

// Rate bounds how much may come: Burst at once, PerSecond in the long run.
type Rate struct {
	PerSecond uint64 // 0: no bound
	Burst     uint64 // at least 1 and at most 1<<32, if there is a bound
}

// Fault is a broken rule.
type Fault struct {
	Code   uint16 // of the Close (RFC 6455, section 7.4.1)
	Reason string
}

// The faults that frames have. Reasons are texts for logs and clients.
var (
	faultMessageSize  = &Fault{1009, "message too big"}
	faultFrameSize    = &Fault{1009, "frame too big"}
	faultMessageRate  = &Fault{1008, "too many messages"}
	faultByteRate     = &Fault{1008, "too many bytes"}
	faultUTF8         = &Fault{1007, "text is not utf-8"}
	faultReservedBits = &Fault{1002, "reserved bits without an extension"}
	faultOpcode       = &Fault{1002, "reserved opcode"}
	faultMasked       = &Fault{1002, "masked server frame"}
	faultUnmasked     = &Fault{1002, "unmasked client frame"}
	faultLength       = &Fault{1002, "bad length encoding"}
	faultControlSize  = &Fault{1002, "control frame above 125 bytes"}
	faultControlParts = &Fault{1002, "fragmented control frame"}
	faultContinuation = &Fault{1002, "continuation without a beginning"}
	faultInterleaved  = &Fault{1002, "message within a message"}
	faultCloseCode    = &Fault{1002, "bad close code"}
)

// Faults returns the faults that frames have.
func Faults() []Fault {
	var all []Fault
	for _, f := range []*Fault{
		faultMessageSize, faultFrameSize, faultMessageRate, faultByteRate, faultUTF8, faultReservedBits, faultOpcode,
		faultMasked, faultUnmasked, faultLength, faultControlSize, faultControlParts, faultContinuation,
		faultInterleaved, faultCloseCode,
	} {
		all = append(all, *f)
	}
	return all
}

// broken tells that what follows the fault cannot be read as frames.
func (f *Fault) broken() bool { return f.Code == 1002 }

// meter measures a stream against a Rate: a leaky bucket, kept as the time, in
// nanoseconds, at which it will be empty.
type meter int64

// cost returns the time that n takes to leak; n is at most 1<<32.
func (r Rate) cost(n uint64) int64 { return int64(float64(n) / float64(r.PerSecond) * 1e9) }

// add puts n in, whether there is room or not.
func (m *meter) add(r Rate, n uint64, now int64) { *m = meter(max(int64(*m), now) + r.cost(n)) }

// wait returns the nanoseconds until there is room for n, which may be more
// than ever fits: then until there is room for Burst.
func (m meter) wait(r Rate, n uint64, now int64) int64 {
	return max(0, max(int64(m), now)-now-r.cost(r.Burst-min(n, r.Burst)))
}

// room returns how much fits in now.
func (m meter) room(r Rate, now int64) uint64 {
	left := r.cost(r.Burst) - (max(int64(m), now) - now)
	if left <= 0 {
		return 0
	}
	return uint64(math.Round(float64(left) * float64(r.PerSecond) / 1e9))
}

// validCode tells whether a Close frame may carry that status code (RFC 6455,
// section 7.4, and the registry that it founds).
func validCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

// Reserved bits of a frame's first byte.
const (
	rsv1   = 0x40
	rsvAll = 0x70
)

// negotiated returns the reserved bits that frames may have after that answer
// to a handshake: RSV1 with permessage-deflate (RFC 7692, section 6), all with
// an extension that nothing is known of, none without any.
func negotiated(head []byte) (bits byte) {
	for line := range bytes.Lines(head) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !bytes.EqualFold(name, []byte("Sec-WebSocket-Extensions")) {
			continue
		}
		for x := range bytes.SplitSeq(value, []byte(",")) {
			x, _, _ = bytes.Cut(x, []byte(";"))
			switch x = bytes.TrimSpace(x); {
			case len(x) == 0:
			case bytes.EqualFold(x, []byte("permessage-deflate")):
				bits |= rsv1
			default:
				return rsvAll
			}
		}
	}
	return bits
}
