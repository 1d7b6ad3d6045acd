package demo

import (
	"time"

	"github.com/fasthttp/websocket"
)

// Patience with one player's connection.
const (
	writeTime    = 5 * time.Second
	pingInterval = 20 * time.Second
	silenceTime  = 50 * time.Second // two pings without a sign of life
	lastWordTime = 300 * time.Millisecond
)

// A player may send this many messages a second, and save that many up. The
// page sends at most twenty.
const (
	messagesPerSecond = 60
	messageBurst      = 120
)

// play serves one player until the socket ends or the arena dismisses it. It
// runs on the connection's own goroutine; fasthttp closes the connection when
// it returns.
func (a *arena) play(c *websocket.Conn, roomName, name string) {
	p, err := a.join(roomName, name)
	if err != nil {
		sayGoodbye(c, farewell{code: websocket.CloseTryAgainLater, reason: err.Error()})
		drain(c)
		return
	}
	a.mu.Lock()
	p.wake = func() { _ = c.NetConn().SetDeadline(time.Unix(1, 0)) }
	a.mu.Unlock()

	written := make(chan struct{})
	go func() {
		defer close(written)
		a.writeAll(c, p)
	}()
	if f := a.readAll(c, p); f.code != 0 {
		a.expel(p, f)
	}
	a.leave(p)
	<-written // the connection's buffers go back to a pool when play returns
	drain(c)
}

// readAll obeys a player until the socket ends or the player is dismissed. It
// returns the last word if there should be one.
func (a *arena) readAll(c *websocket.Conn, p *player) farewell {
	c.SetReadLimit(maxMessage)
	alive := func() { _ = c.SetReadDeadline(time.Now().Add(silenceTime)) }
	alive()
	c.SetPongHandler(func(string) error { alive(); return nil })

	allowed := newAllowance(time.Now())
	for {
		kind, data, err := c.ReadMessage()
		switch {
		case err != nil: // gone, silent for too long, or told why by the library
			return farewell{}
		case kind != websocket.TextMessage:
			return farewell{code: websocket.CloseUnsupportedData, reason: "send text, not binary"}
		case !allowed.take(time.Now()):
			return farewell{code: websocket.ClosePolicyViolation, reason: "too many messages a second"}
		}
		alive()
		cmd, err := parseCommand(data)
		if err != nil {
			return farewell{code: websocket.ClosePolicyViolation, reason: err.Error()}
		}
		if !a.obey(p, cmd) {
			return farewell{}
		}
	}
}

// writeAll sends what is queued for a player until the queue ends, pings in
// between, and says goodbye.
func (a *arena) writeAll(c *websocket.Conn, p *player) {
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		var err error
		select {
		case message, ok := <-p.out:
			if !ok {
				sayGoodbye(c, p.goodbye)
				_ = c.SetReadDeadline(time.Now().Add(lastWordTime)) // readAll may still wait
				return
			}
			if p.cut.Load() {
				continue
			}
			_ = c.SetWriteDeadline(time.Now().Add(writeTime))
			err = c.WriteMessage(websocket.TextMessage, message)
		case <-ping.C:
			err = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTime))
		}
		if err != nil {
			a.expel(p, farewellSlow) // which ends the queue, and readAll
		}
	}
}

// drain reads on until the peer has answered our Close frame, or for a moment:
// closing with bytes unread would reset the connection and could take the
// Close frame with it.
func drain(c *websocket.Conn) {
	_ = c.SetReadDeadline(time.Now().Add(lastWordTime))
	for {
		if _, _, err := c.NextReader(); err != nil {
			return
		}
	}
}

// sayGoodbye sends a Close frame, unless there is nothing to say. That the
// peer may be gone already is no matter.
func sayGoodbye(c *websocket.Conn, f farewell) {
	if f.code == 0 {
		return
	}
	_ = c.WriteControl(websocket.CloseMessage,
		websocket.FormatCloseMessage(f.code, f.reason), time.Now().Add(lastWordTime))
}

// allowance is a token bucket.
type allowance struct {
	tokens float64
	last   time.Time
}

func newAllowance(now time.Time) allowance { return allowance{tokens: messageBurst, last: now} }

func (a *allowance) take(now time.Time) bool {
	a.tokens = min(messageBurst, a.tokens+now.Sub(a.last).Seconds()*messagesPerSecond)
	a.last = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}
