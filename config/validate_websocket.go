package config

import "time"

const (
	// leastPing keeps Pings from being a load of their own.
	leastPing = 100 * time.Millisecond
	// maxBurst is more than a socket brings in a second.
	maxBurst = 4 << 30
)

func (v validator) webSocket(path string, w WebSocket) {
	if w.PingInterval != 0 && w.PingInterval < leastPing {
		v.check(path+".ping_interval", "%s is below %s, write 0 for no Pings, or a time such as 30s", w.PingInterval, leastPing)
	}
	if w.PingBackend && w.PingInterval == 0 {
		v.check(path+".ping_backend", "it does nothing without ping_interval, write that too, such as 30s")
	}
	v.notBelowZero(path+".max_message_bytes", int64(w.MaxMessageBytes))
	v.notBelowZero(path+".max_frame_bytes", int64(w.MaxFrameBytes))
	v.rate(path, "messages", int64(w.MessagesPerSecond), int64(w.MessagesBurst))
	v.rate(path, "bytes", int64(w.BytesPerSecond), int64(w.BytesBurst))
	v.oneOf(path+".over_limit", w.OverLimit, "close", "throttle")
}

// rate checks WHAT_per_second and WHAT_burst.
func (v validator) rate(path, what string, perSecond, burst int64) {
	v.notBelowZero(path+"."+what+"_per_second", perSecond)
	v.notBelowZero(path+"."+what+"_burst", burst)
	switch {
	case perSecond > maxBurst:
		v.check(path+"."+what+"_per_second", "%d is above %d, write 0 for no limit", perSecond, int64(maxBurst))
	case burst > maxBurst:
		v.check(path+"."+what+"_burst", "%d is above %d, write less", burst, int64(maxBurst))
	case burst > 0 && perSecond == 0:
		v.check(path+"."+what+"_burst", "it does nothing without %s_per_second, write that too", what)
	}
}

// notBelowZero is notNegative for sizes.
func (v validator) notBelowZero(path string, n int64) {
	if n < 0 {
		v.check(path, "%d is negative, write 0 for no limit", n)
	}
}
