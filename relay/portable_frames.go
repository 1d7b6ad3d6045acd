package relay

import (
	"sync/atomic"
	"time"
)

// pass writes to the other side what it is to get of b, and is false when that
// is over.
func (j *joint) pass(from int, b []byte) bool {
	j.bytes[from].Add(uint64(len(b)))
	j.e.bytes[from].Add(uint64(len(b)))
	for {
		used, wait, f, err := j.forward(from, b)
		switch {
		case err != nil:
			j.broke(1 - from)
			return false
		case f != nil:
			j.sever(f)
		}
		if b = b[used:]; len(b) == 0 {
			return true
		}
		select {
		case <-time.After(wait):
		case <-j.over:
			return false
		}
	}
}

// forward is pass for as much of b as may be looked at now; for the rest of it
// pass is to wait.
func (j *joint) forward(from int, b []byte) (used int, wait time.Duration, f *Fault, err error) {
	to, scan := 1-from, &j.scans[from]
	j.out[to].Lock()
	defer j.out[to].Unlock()
	var t Tally
	whole := len(b)
	used = whole
	data, over := true, scan.Closed()
	if f := j.bye.Load(); f != nil && (to == Client || j.severed.Load()) {
		j.tellNow(to, f)
	}
	switch {
	case j.telling[to]:
		b = j.parting(from, b, &t)
	case j.sieves != nil:
		v := &j.sieves[from]
		now := time.Since(j.began)
		r := v.sift(scan, b, nil, &t, int64(now))
		j.heard(from, now)
		b, used, f, wait = r.pass, r.used, r.fault, time.Duration(r.wait)
		data, v.data = v.data || j.every == 0, false
		if f != nil && !r.clean {
			j.telling[to], j.told[to] = true, true
		}
	default:
		scan.Scan(b, &t)
	}
	if data && !over { // what stands behind a Close keeps nothing alive
		j.last.Store(int64(time.Since(j.began)))
	}
	j.frames[from].Add(t.Total())
	j.e.tally(from, &t)
	if f == nil && scan.Closed() {
		j.note(ender(from), "close frame")
	}
	if len(b) > 0 {
		_, err = j.conns[to].Write(b)
	}
	switch {
	case f != nil:
		j.tellNow(to, j.part(f)) // before anything else can be said
	case j.vitals[to].wanted.Load():
		j.ping(to)
	}
	if used < whole {
		j.vitals[from].sent.Store(0) // an answer may wait here
	}
	return used, wait, f, err
}

// parting is as in the loop.
func (j *joint) parting(from int, b []byte, t *Tally) []byte {
	scan, to := &j.scans[from], 1-from
	if j.told[to] {
		scan.Scan(b, t)
		return nil
	}
	n := scan.Next(b, t)
	if !scan.Boundary() {
		return b
	}
	j.told[to] = true
	out := append([]byte(nil), b[:n]...)
	if !scan.Closed() {
		bye := j.bye.Load()
		out = appendClose(out, to, bye.Code, bye.Reason)
	}
	scan.Scan(b[n:], t)
	return out
}

// tell has a side read a Close between two frames. It waits for what is being
// written to it.
func (j *joint) tell(to int, f *Fault) {
	j.out[to].Lock()
	defer j.out[to].Unlock()
	j.tellNow(to, f)
}

func (j *joint) tellNow(to int, f *Fault) {
	if j.telling[to] {
		return
	}
	j.telling[to] = true
	scan := &j.scans[1-to]
	stopped := j.sieves != nil && j.sieves[1-to].stopped
	switch {
	case scan.Closed() && !stopped:
		j.told[to] = true
	case scan.Boundary() || stopped:
		j.told[to] = true
		_, _ = j.conns[to].Write(appendClose(nil, to, f.Code, f.Reason))
	}
	if j.sieves != nil {
		var t Tally
		j.sieves[1-to].follow(scan, nil, &t)
		j.frames[1-to].Add(t.Total())
		j.e.tally(1-to, &t)
	}
}

// leave has the client read a Close and cuts the pair after within; the
// backend reads one then, if the client has said none. The first order stands,
// but for a time that is over later.
func (j *joint) leave(f *Fault, within time.Duration) {
	j.note(ByHoldfast, f.Reason) // before anybody is told
	first := j.bye.CompareAndSwap(nil, f)
	time.AfterFunc(within, func() {
		select {
		case <-j.over:
			return
		default:
		}
		j.e.cuts.Add(1)
		if j.out[Backend].TryLock() {
			j.tellNow(Backend, j.bye.Load())
			j.out[Backend].Unlock()
		}
		j.cut()
	})
	if first {
		go j.tell(Client, f) // a client that reads nothing makes it wait
	}
}

// sever has both sides read a Close, and cuts the pair a moment later.
func (j *joint) sever(f *Fault) {
	f = j.part(f)
	time.AfterFunc(lastWords, j.cut)
	go j.tell(Client, f)
	go j.tell(Backend, f)
}

// part settles that nothing new passes either way, and what for.
func (j *joint) part(f *Fault) *Fault {
	j.note(ByHoldfast, f.Reason)
	j.bye.CompareAndSwap(nil, f)
	j.severed.Store(true)
	return j.bye.Load()
}

// watch prepares what a call asks for beyond counting, with the backend's
// answer.
func (j *joint) watch(c *Call, head []byte) {
	if c.Guard == nil && c.Ping <= 0 {
		return
	}
	v := newSieves(c.Guard)
	j.every = max(0, c.Ping)
	for side := range v {
		v[side].rsv = negotiated(head)
		if j.every > 0 && (side == Client || c.PingBackend) {
			v[side].pings = newPings()
		}
	}
	j.sieves = &v
}

// pulse is what is known of the life of one side. Times are nanoseconds since
// the pair began.
type pulse struct {
	timer  *time.Timer
	asked  atomic.Int32 // Pings since heard
	wanted atomic.Bool  // a Ping waits for the end of a frame
	heard  atomic.Int64
	sent   atomic.Int64 // the last Ping; 0: it is answered
	number atomic.Uint32
	trip   atomic.Int64
}

func (j *joint) beginPings() {
	for side := range j.vitals {
		if j.sieves != nil && j.sieves[side].pings != 0 {
			t := time.AfterFunc(time.Hour, func() { j.feel(side) })
			j.vitals[side].timer = t
			t.Reset(j.every)
		}
	}
}

func (j *joint) endPings() {
	for side := range j.vitals {
		if t := j.vitals[side].timer; t != nil {
			t.Stop()
		}
	}
}

// heard takes note of a sign of life, and of an answer to a Ping.
func (j *joint) heard(from int, now time.Duration) {
	p, v := &j.vitals[from], &j.sieves[from]
	p.heard.Store(int64(now))
	if !v.answered {
		return
	}
	v.answered = false
	if sent := p.sent.Swap(0); sent > 0 && uint32(v.answer) == p.number.Load()&0xff {
		trip := now - time.Duration(sent)
		p.trip.Store(int64(trip))
		j.owner.RoundTrip(from, trip)
	}
}

// feel is called by a timer when a side may have been silent for too long.
func (j *joint) feel(side int) {
	p := &j.vitals[side]
	now := time.Since(j.began)
	silent := now - time.Duration(p.heard.Load())
	switch {
	case j.eof[side].Load() || j.bye.Load() != nil:
		return
	case silent < j.every:
		p.asked.Store(0)
		p.wanted.Store(false)
		p.timer.Reset(j.every - silent)
		return
	case p.asked.Load() < 2:
		p.asked.Add(1)
	case !j.reads[side].Load():
		// It may have answered.
		p.heard.Store(int64(now))
		p.sent.Store(0)
		p.asked.Store(0)
		p.timer.Reset(j.every)
		return
	case !p.wanted.Load():
		j.sever(faultSilent[side])
		return
	}
	p.timer.Reset(j.every * 7 / 16)
	if j.out[side].TryLock() { // otherwise it takes nothing
		j.ping(side)
		j.out[side].Unlock()
	}
}

// ping sends a Ping to a side, of which out is held, or has forward do it at
// the end of the frame that is in the way.
func (j *joint) ping(side int) {
	p, scan := &j.vitals[side], &j.scans[1-side]
	late := p.wanted.Swap(false)
	switch {
	case j.bye.Load() != nil || j.telling[side] || scan.Closed():
		return
	case !scan.Boundary():
		p.wanted.Store(true)
		return
	}
	if late { // it has had no time to answer yet
		p.asked.Store(1)
		p.timer.Reset(j.every * 7 / 16)
	}
	number := p.number.Add(1)
	p.sent.Store(int64(time.Since(j.began)))
	_, _ = j.conns[side].Write(appendPing(nil, side, j.sieves[side].pings|uint64(number&0xff)))
}
