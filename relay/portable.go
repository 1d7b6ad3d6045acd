package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// portable is the engine for systems without epoll: two goroutines a pair and
// blocking reads and writes. It is meant for development; what is fast is the
// loop. Three things it does otherwise: a client that leaves during the
// handshake is noticed by its end only, a reset drops what was on its way, and
// a farewell lets handshakes run to their own deadlines.
type portable struct {
	mu     sync.Mutex // guards joints, bye
	joints map[uint64]*joint
	bye    *farewell

	running sync.WaitGroup
	quit    context.Context // ends dialing
	hurry   context.CancelFunc
	counters
}

func newPortable() *portable {
	e := &portable{joints: map[uint64]*joint{}}
	e.quit, e.hurry = context.WithCancel(context.Background())
	return e
}

func (e *portable) farewell(f *farewell) {
	e.mu.Lock()
	e.bye = f
	e.mu.Unlock()
	for _, j := range e.all() {
		j.leave(f.code, f.reason, time.Until(f.at))
	}
}

func (e *portable) close() {
	e.hurry()
	e.mu.Lock()
	if e.bye == nil {
		e.bye = &farewell{}
	}
	for _, j := range e.joints {
		j.note(ByHoldfast, "stopped")
		j.cut()
	}
	e.mu.Unlock()
	e.running.Wait()
}

// joint is a pair of the portable engine.
type joint struct {
	e     *portable
	id    uint64
	owner Owner
	conns [2]net.Conn // what is read and written
	below [2]net.Conn // what they lie on: themselves, without TLS
	idle  time.Duration
	began time.Time
	last  atomic.Int64 // nanoseconds since began

	// toClient serialises what is written to the client, so that a Close goes
	// in between two frames. It guards scans[Backend] and said.
	toClient sync.Mutex
	said     bool
	bye      atomic.Pointer[farewell] // set once

	scans  [2]Scanner
	bytes  [2]atomic.Uint64
	frames [2]atomic.Uint64
	eof    [2]atomic.Bool
	broken atomic.Bool

	noteOnce sync.Once
	ender    Ender
	reason   string
	timer    *time.Timer
}

func (j *joint) note(by Ender, reason string) {
	j.noteOnce.Do(func() { j.ender, j.reason = by, reason })
}

func (j *joint) cut() {
	_ = j.below[Client].Close()
	_ = j.below[Backend].Close()
}

func (e *portable) open(c *Call) error {
	fd, err := sys.Dup(c.Client)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "client")
	client, err := net.FileConn(file)
	_ = file.Close() // FileConn has made a duplicate of its own
	if err != nil {
		return fmt.Errorf("take over descriptor %d: %w", c.Client, err)
	}
	e.mu.Lock()
	if e.bye != nil {
		e.mu.Unlock()
		_ = client.Close()
		return ErrStopping
	}
	e.dialing.Add(1)
	e.running.Go(func() { e.dial(c, client) }) // under mu, so that close waits for it
	e.mu.Unlock()
	sys.Close(c.Client)
	return nil
}

// dial connects, has the answer judged, and pumps until the pair has ended.
func (e *portable) dial(c *Call, client net.Conn) {
	from := client
	if c.ClientTLS != nil {
		c.ClientTLS.Attach(client)
		from = c.ClientTLS
	}
	fail := func(f Failure) {
		e.dialing.Add(-1)
		if c.ClientTLS != nil {
			c.ClientTLS.Detach()
		}
		f.Client = descriptor(client)
		_ = client.Close()
		c.Owner.Failed(f)
	}
	conn, t, cause, err := connect(e.quit, c)
	if err != nil {
		fail(Failure{Cause: cause, Err: err, Backend: -1})
		return
	}
	to := conn
	if t != nil {
		to = t
	}
	var head, received []byte
	br := bufio.NewReader(to)
	for err == nil {
		if head, err = readHead(br); err == nil && !isInterim(head) {
			break
		}
	}
	if err != nil {
		_ = conn.Close()
		cause := BackendEnded
		switch {
		case errors.Is(err, errAnswerTooLarge):
			cause = AnswerTooLarge
		case isTimeout(err):
			cause = AnswerTimeout
		}
		fail(Failure{Cause: cause, Err: err, Backend: -1})
		return
	}
	_ = conn.SetDeadline(time.Time{})
	early, _ := br.Peek(br.Buffered())
	out, err := c.Owner.Answer(nil, head)
	if err != nil {
		received = append(bytes.Clone(head), early...)
		fd := descriptor(conn)
		if t != nil {
			t.Detach()
		}
		_ = conn.Close()
		fail(Failure{Cause: NotUpgraded, Err: err, Backend: fd, BackendTLS: t, Received: received})
		return
	}
	j := &joint{
		e: e, id: c.ID, owner: c.Owner, idle: c.Idle, began: time.Now(),
		conns: [2]net.Conn{from, to}, below: [2]net.Conn{client, conn},
	}
	e.mu.Lock()
	if e.bye != nil {
		e.mu.Unlock()
		_ = conn.Close()
		fail(Failure{Cause: Stopping, Backend: -1})
		return
	}
	e.joints[j.id] = j
	e.mu.Unlock()
	j.run(c.Early, out, early)
}

// run pumps both ways and returns when the pair has ended.
func (j *joint) run(fromClient, answer, fromBackend []byte) {
	e := j.e
	e.dialing.Add(-1)
	e.pairs.Add(1)
	j.owner.Opened()
	j.timer = time.AfterFunc(time.Hour, j.silent)
	if j.idle > 0 {
		j.timer.Reset(j.idle)
	}
	var both sync.WaitGroup
	both.Go(func() {
		j.pump(Client, fromClient)
	})
	both.Go(func() {
		if _, err := j.conns[Client].Write(answer); err != nil {
			j.broke(Client)
		}
		j.pump(Backend, fromBackend)
	})
	both.Wait()
	j.timer.Stop()
	for side := range j.conns {
		if j.conns[side] != j.below[side] && !j.broken.Load() {
			_ = j.conns[side].Close() // says so
		}
	}
	j.cut()
	e.mu.Lock()
	delete(e.joints, j.id)
	e.mu.Unlock()
	e.pairs.Add(-1)
	j.owner.Closed(j.summary())
}

// pump moves bytes from one side to the other until its end.
func (j *joint) pump(from int, early []byte) {
	src, dst := j.conns[from], j.conns[1-from]
	if len(early) > 0 && !j.pass(from, early) {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			j.last.Store(int64(time.Since(j.began)))
			if !j.pass(from, buf[:n]) {
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			j.eof[from].Store(true)
			j.note(ender(from), "end of stream")
			if h, ok := dst.(interface{ CloseWrite() error }); ok {
				_ = h.CloseWrite()
			}
			j.last.Store(int64(time.Since(j.began)))
			j.timer.Reset(j.limit())
			return
		default:
			j.broke(from)
			return
		}
	}
}

// pass follows the frames in b and writes to the other side what it is to get.
func (j *joint) pass(from int, b []byte) bool {
	to := 1 - from
	if to == Client {
		j.toClient.Lock()
		defer j.toClient.Unlock()
	}
	var t Tally
	j.bytes[from].Add(uint64(len(b)))
	j.e.bytes[from].Add(uint64(len(b)))
	scan := &j.scans[from]
	out := b
	if bye := j.bye.Load(); to == Client && bye != nil {
		out = nil
		for len(b) > 0 {
			n := scan.Next(b, &t)
			if !j.said {
				out = append(out, b[:n]...)
				if scan.Boundary() {
					j.said = true
					out = appendClose(out, bye.code, bye.reason)
				}
			}
			b = b[n:]
		}
	} else {
		scan.Scan(b, &t)
	}
	j.frames[from].Add(t.Total())
	j.e.tally(from, &t)
	if scan.Closed() {
		j.note(ender(from), "close frame")
	}
	if len(out) == 0 {
		return true
	}
	if _, err := j.conns[to].Write(out); err != nil {
		j.broke(to)
		return false
	}
	return true
}

// broke ends the pair because a side was reset, and resets the other.
func (j *joint) broke(side int) {
	j.note(ender(side), "reset")
	j.broken.Store(true)
	if c, ok := j.below[1-side].(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	j.cut()
}

// leave has the client read a Close between two frames and cuts the pair after
// within. The first order stands, but for a time that is over later.
func (j *joint) leave(code uint16, reason string, within time.Duration) {
	first := j.bye.CompareAndSwap(nil, &farewell{code: code, reason: reason})
	if first {
		j.note(ByHoldfast, reason)
	}
	time.AfterFunc(within, j.cut)
	if !first {
		return
	}
	// A client that reads nothing holds the lock: the pair then ends by the
	// deadline, or as soon as the frame in the way has passed.
	go func() {
		j.toClient.Lock()
		defer j.toClient.Unlock()
		if scan := &j.scans[Backend]; !j.said && scan.Boundary() {
			j.said = true
			if !scan.Closed() {
				_, _ = j.conns[Client].Write(appendClose(nil, code, reason))
			}
		}
	}()
}

func (j *joint) limit() time.Duration {
	if (j.eof[Client].Load() || j.eof[Backend].Load()) && (j.idle == 0 || j.idle > HalfCloseIdle) {
		return HalfCloseIdle
	}
	return j.idle
}

// silent is called by the timer when the pair may have been idle for too long.
func (j *joint) silent() {
	limit := j.limit()
	if limit == 0 {
		return
	}
	if left := limit - (time.Since(j.began) - time.Duration(j.last.Load())); left > 0 {
		j.timer.Reset(left)
		return
	}
	if j.eof[Client].Load() || j.eof[Backend].Load() {
		j.cut()
		return
	}
	j.leave(1001, "idle timeout", lastWords)
}

func (j *joint) summary() Summary {
	now := j.live()
	s := Summary{Bytes: now.Bytes, Frames: now.Frames, Ender: j.ender, Reason: j.reason, Opened: time.Since(j.began)}
	j.toClient.Lock()
	defer j.toClient.Unlock()
	if j.ender != ByHoldfast {
		s.Code = j.scans[j.ender].CloseCode()
	} else if bye := j.bye.Load(); bye != nil {
		s.Code = bye.code
	}
	if s.Code == 0 {
		s.Code = 1006
	}
	return s
}
