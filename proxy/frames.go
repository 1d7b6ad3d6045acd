package proxy

import (
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/relay"
)

// compileFrames returns what judges the frames of a route's sockets, nil if
// nothing is asked of them.
func compileFrames(w config.WebSocket) *relay.Guard {
	if !w.Guarded() {
		return nil
	}
	return &relay.Guard{
		MaxMessage: uint64(w.MaxMessageBytes), // #nosec G115 -- validated
		MaxFrame:   uint64(w.MaxFrameBytes),   // #nosec G115 -- validated
		Messages:   rate(int64(w.MessagesPerSecond), int64(w.MessagesBurst)),
		Bytes:      rate(int64(w.BytesPerSecond), int64(w.BytesBurst)),
		Throttle:   w.OverLimit == "throttle",
		UTF8:       w.CheckUTF8,
	}
}

func rate(perSecond, burst int64) relay.Rate {
	if burst == 0 {
		burst = perSecond
	}
	return relay.Rate{PerSecond: uint64(perSecond), Burst: uint64(burst)} // #nosec G115 -- validated
}

// frameCodes are the codes of faults that frames have, by that of the Close.
var frameCodes = map[uint16]explain.Code{
	1002: explain.Named("bad_frame"),
	1007: explain.Named("bad_text"),
	1008: explain.Named("client_too_fast"),
	1009: explain.Named("message_too_big"),
}

// frameEnds adds the reasons of those faults to codes of ends.
func frameEnds(codes map[string]explain.Code) map[string]explain.Code {
	for _, f := range relay.Faults() {
		codes[f.Reason] = frameCodes[f.Code]
	}
	return codes
}
