package listener

import "time"

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// armRead bounds a silence by timeout, or an eighth more: as long as the
// deadline that stands is within that, it is left alone.
func (c *Conn) armRead(timeout time.Duration) error {
	if timeout <= 0 {
		if c.readBy == 0 && !c.headerArmed {
			return nil
		}
		c.readBy, c.headerArmed = 0, false
		return c.armWait(time.Time{})
	}
	soonest := c.socket.ledger.now() + timeout
	if latest := soonest + timeout/8; c.readBy < soonest || c.readBy > latest || c.socket.stopping.Load() {
		c.readBy = latest
		return c.armWait(c.socket.ledger.epoch.Add(latest))
	}
	return nil
}

// armWait sets the read deadline, and a closer one if the listener has stopped:
// stop may have come between a look at the flag and the deadline, and its own
// deadline been overwritten.
func (c *Conn) armWait(by time.Time) error {
	if err := c.raw.SetReadDeadline(by); err != nil {
		return err
	}
	if !c.socket.stopping.Load() {
		return nil
	}
	switch c.phaseNow() {
	case phaseFresh:
		by = time.Now().Add(lastRequest)
	case phaseIdle:
		by = past
	default:
		return nil
	}
	c.readBy = 0
	return c.raw.SetReadDeadline(by)
}

// armWrite is armRead for writes.
func (c *Conn) armWrite() error {
	timeout := c.socket.settings.Load().timeout.Body
	if timeout <= 0 {
		if c.writeBy == 0 {
			return nil
		}
		c.writeBy = 0
		return c.raw.SetWriteDeadline(time.Time{})
	}
	soonest := c.socket.ledger.now() + timeout
	if latest := soonest + timeout/8; c.writeBy < soonest || c.writeBy > latest {
		c.writeBy = latest
		return c.raw.SetWriteDeadline(c.socket.ledger.epoch.Add(latest))
	}
	return nil
}
