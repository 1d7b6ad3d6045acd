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
// loop. Four things it does otherwise: a client that leaves during the handshake
// is noticed by its end only, a reset drops what was on its way, a farewell lets
// handshakes run to their own deadlines, a side that takes what was sent before
// a Ping too slowly is not told from one that is silent, and one that is not
// read is taken to be alive.
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

// help does nothing: each pair's goroutines have their turns like all others.
func (e *portable) help() {}

func (e *portable) farewell(f *farewell) {
	e.mu.Lock()
	e.bye = f
	e.mu.Unlock()
	for _, j := range e.all() {
		j.leave(&f.Fault, time.Until(f.at))
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

	// out, by the side that is written to, keeps frames of ours between two of
	// its peer's. It guards what is known of the peer: its scan and its sieve;
	// and telling and told of the side.
	out     [2]sync.Mutex
	telling [2]bool
	told    [2]bool
	scans   [2]Scanner
	sieves  *[2]sieve // nil: frames are counted, and that is all

	bye     atomic.Pointer[Fault] // set once
	severed atomic.Bool
	over    chan struct{} // closed when the sockets are
	once    sync.Once
	every   time.Duration // between Pings; 0: none
	vitals  [2]pulse

	bytes  [2]atomic.Uint64
	frames [2]atomic.Uint64
	eof    [2]atomic.Bool
	broken atomic.Bool
	reads  [2]atomic.Bool // pump waits for that side to send something

	noteOnce sync.Once
	ender    Ender
	reason   string
	timer    *time.Timer
}

func (j *joint) note(by Ender, reason string) {
	j.noteOnce.Do(func() { j.ender, j.reason = by, reason })
}

func (j *joint) cut() {
	j.once.Do(func() { close(j.over) })
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
	skipped := 0 // bytes of interim answers
	for {
		if head, err = readHead(br, maxAnswer-skipped); err != nil || !isInterim(head) {
			break
		}
		skipped += len(head)
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
		fail(Failure{Cause: cause, Err: err, Backend: -1, Answered: skipped+len(head) > 0})
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
		e: e, id: c.ID, owner: c.Owner, idle: c.Idle, began: time.Now(), over: make(chan struct{}),
		conns: [2]net.Conn{from, to}, below: [2]net.Conn{client, conn},
	}
	j.watch(c, head)
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
	e.pairs.Add(1)
	e.dialing.Add(-1)
	j.owner.Opened()
	j.timer = time.AfterFunc(time.Hour, j.silent)
	if j.idle > 0 {
		j.timer.Reset(j.idle)
	}
	if _, err := j.conns[Client].Write(answer); err != nil {
		j.broke(Client)
	}
	j.beginPings()
	var both sync.WaitGroup
	both.Go(func() {
		j.pump(Client, fromClient)
	})
	both.Go(func() {
		j.pump(Backend, fromBackend)
	})
	both.Wait()
	j.timer.Stop()
	j.endPings()
	for side := range j.conns {
		if j.conns[side] != j.below[side] && !j.broken.Load() {
			_ = j.conns[side].Close() // says so
		}
	}
	j.cut()
	e.mu.Lock()
	delete(e.joints, j.id)
	e.mu.Unlock()
	j.owner.Closed(j.summary())
	e.pairs.Add(-1) // last: Farewell waits for it
}

// pump moves bytes from one side to the other until its end.
func (j *joint) pump(from int, early []byte) {
	src, dst := j.conns[from], j.conns[1-from]
	if len(early) > 0 && !j.pass(from, early) {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		j.reads[from].Store(true)
		n, err := src.Read(buf)
		j.reads[from].Store(false)
		if n > 0 {
			if !j.pass(from, buf[:n]) {
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			j.eof[from].Store(true)
			j.note(ender(from), "end of stream")
			if bye := j.bye.Load(); bye != nil {
				j.tell(1-from, bye)
			}
			finish(dst)
			j.last.Store(int64(time.Since(j.began)))
			j.timer.Reset(j.limit())
			if j.closed() {
				finish(src) // nothing can follow
			}
			return
		default:
			j.broke(from)
			return
		}
	}
}

// finish sends a FIN.
func finish(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
}

// closed tells whether both sides have said Close.
func (j *joint) closed() bool {
	j.out[Client].Lock()
	defer j.out[Client].Unlock()
	j.out[Backend].Lock()
	defer j.out[Backend].Unlock()
	return j.scans[Client].Closed() && j.scans[Backend].Closed()
}

// broke ends the pair because a side was reset, and resets the other.
func (j *joint) broke(side int) {
	select {
	case <-j.over:
		return // it was our own end that it met
	default:
	}
	j.note(ender(side), "reset")
	j.broken.Store(true)
	if c, ok := j.below[1-side].(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	j.cut()
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
	j.leave(faultIdle, lastWords)
}

func (j *joint) summary() Summary {
	now := j.live()
	s := Summary{Bytes: now.Bytes, Frames: now.Frames, Ender: j.ender, Reason: j.reason, Opened: time.Since(j.began)}
	j.out[Client].Lock()
	defer j.out[Client].Unlock()
	j.out[Backend].Lock()
	defer j.out[Backend].Unlock()
	if j.ender != ByHoldfast {
		s.Code = j.scans[j.ender].CloseCode()
	} else if bye := j.bye.Load(); bye != nil {
		s.Code = bye.Code
	}
	if s.Code == 0 {
		s.Code = 1006
	}
	return s
}
