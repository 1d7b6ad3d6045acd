package config

import "time"

// maxSlowStart keeps a slip of the pen from throttling a backend for ever.
const maxSlowStart = time.Hour

func (v validator) slowStart(path string, p Pool) {
	if p.SlowStart < 0 || p.SlowStart > maxSlowStart {
		v.check(path+".slow_start", "%s is out of range, write 0 for none, up to %s", p.SlowStart, "1h")
	}
	if p.SlowStart > 0 && (p.Balance == "hash" || p.Balance == "first") {
		v.warn(path+".slow_start", "has no effect with balance %s, remove it or choose another", p.Balance)
	}
}

// maxQueue bounds what a queue may take of this machine's memory and
// descriptors.
const maxQueue = 1_000_000

func (v validator) governor(path string, p Pool) {
	v.notNegative(path+".limits.handshakes_per_second", p.Limits.HandshakesPerSecond)
	v.notNegative(path+".limits.handshakes_per_second_per_backend", p.Limits.HandshakesPerSecondPerBackend)
	v.between(path+".queue.size", p.Queue.Size, 0, maxQueue)
	v.positive(path+".queue.timeout", p.Queue.Timeout)
	bounded := p.Limits != PoolLimits{} || p.Health.LoadReports || p.Discovery != nil
	for _, b := range p.Backends {
		bounded = bounded || b.MaxConnections > 0
	}
	switch {
	case p.Queue.Size > 0 && !bounded:
		v.warn(path+".queue.size", "has no effect: set limits of the pool, or max_connections of its backends")
	case p.Queue.Size == 0 && p.Limits != PoolLimits{}:
		v.warn(path+".limits", "turns whoever comes too soon away at once, set queue.size to have them wait")
	}
}

func (v validator) passive(path string, p Passive) {
	if p.Failures < 1 {
		v.check(path+".failures", "%d would eject without a failure, write 1 or more", p.Failures)
	}
	v.positive(path+".window", p.Window)
	v.positive(path+".eject", p.Eject)
	v.between(path+".max_ejected_percent", p.MaxEjectedPercent, 0, 100)
}

func (v validator) drain(path string, d Drain) {
	v.positive(path+".deadline", d.Deadline)
	v.notNegative(path+".closes_per_second", d.ClosesPerSecond)
	v.oneOf(path+".when_removed", d.WhenRemoved, "keep", "drain")
	if !mayBeSent(d.CloseCode) {
		v.check(path+".close_code", "%d may not be sent, write 1012 (restart), 1001 (going away), or one of your own from 3000 to 4999",
			d.CloseCode)
	}
}

// mayBeSent tells whether a server may put that status code into a Close frame
// (RFC 6455, section 7.4, and IANA's registry).
func mayBeSent(code int) bool {
	switch {
	case code >= 3000 && code <= 4999, code >= 1007 && code <= 1014 && code != 1010:
		return true
	}
	return code >= 1000 && code <= 1003
}
