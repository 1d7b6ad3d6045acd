package listener

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shardBits = 4
	// maxRemembered bounds, per shard, the addresses that are kept for their
	// handshakes alone: 65,536 in all.
	maxRemembered = 65536 >> shardBits
	// firstSweep is how many entries a shard holds before it looks for
	// forgettable ones.
	firstSweep = 256
	// sweepEvery spaces the sweeps of a shard that is full: its entries are
	// forgettable within a second.
	sweepEvery = 250 * time.Millisecond
)

// ledger is the account of one listener: its open connections, in all and by
// address, and the handshakes of addresses.
//
// It is sharded by address, so that a lock is held for one map operation and
// hardly ever waited for. No lock is taken between accept and close but by
// handshakes.
type ledger struct {
	open   atomic.Int64
	epoch  time.Time
	spread uint64 // odd, of this ledger alone: nobody can aim at one shard
	shards [1 << shardBits]shard
}

// shard is the part of a ledger for some of the addresses.
type shard struct {
	mu         sync.Mutex
	uses       map[addrKey]use // guarded by mu
	remembered int             // guarded by mu: entries of uses without connections
	sweepAt    int             // guarded by mu: size of uses at which to sweep next
	swept      time.Duration   // guarded by mu: the last sweep, since the ledger's epoch
	conns      *Conn           // guarded by mu: list through Conn.next
	_          [16]byte        // a cache line each
}

// use is what one address has.
type use struct {
	conns int32
	// full is when its bucket of handshakes will be full again, since the
	// ledger's epoch: the generic cell rate algorithm, a token bucket in one
	// number.
	full time.Duration
}

func newLedger() *ledger {
	l := &ledger{epoch: time.Now(), spread: rand.Uint64() | 1}
	for i := range l.shards {
		l.shards[i].uses = make(map[addrKey]use)
		l.shards[i].sweepAt = firstSweep
	}
	return l
}

// now is the time since the ledger was made, on the monotonic clock.
func (l *ledger) now() time.Duration { return time.Since(l.epoch) }

func (l *ledger) shard(k addrKey) *shard {
	return &l.shards[uint64(k)*l.spread>>(64-shardBits)]
}

// enter books c, within the limits; 0 is no limit. When it reports true,
// leave must be called once.
func (l *ledger) enter(c *Conn, maxConns, maxPerAddr int) (Refusal, bool) {
	if n := l.open.Add(1); maxConns > 0 && n > int64(maxConns) {
		l.open.Add(-1)
		return RefusedMaxConnections, false
	}
	s := l.shard(c.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.count(c.key, maxPerAddr, l.now()) {
		l.open.Add(-1)
		return RefusedMaxConnectionsPerIP, false
	}
	s.link(c)
	return 0, true
}

// readmit counts a connection of k that came in elsewhere, whatever the limits.
// vacate must be called once.
func (l *ledger) readmit(k addrKey) {
	l.open.Add(1)
	s := l.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(k, 0, l.now())
}

// move books c, which came in under noAddr, under k from now on. When it
// reports false, because k has maxPerAddr already, nothing has changed.
func (l *ledger) move(c *Conn, k addrKey, maxPerAddr int) bool {
	from, to := l.shard(c.key), l.shard(k)
	to.mu.Lock()
	ok := to.count(k, maxPerAddr, l.now())
	to.mu.Unlock()
	if !ok {
		return false
	}
	from.mu.Lock()
	from.unlink(c)
	from.mu.Unlock()
	c.key = k
	to.mu.Lock()
	to.link(c)
	to.mu.Unlock()
	return true
}

// count adds a connection to those of k, unless it has maxPerAddr already. The
// caller holds mu.
func (s *shard) count(k addrKey, maxPerAddr int, now time.Duration) bool {
	if k == noAddr {
		return true
	}
	u, known := s.uses[k]
	if maxPerAddr > 0 && int(u.conns) >= maxPerAddr {
		return false
	}
	if !known {
		s.makeRoom(now)
	} else if u.conns == 0 {
		s.remembered--
	}
	u.conns++
	s.uses[k] = u
	return true
}

// link puts c on the list. The caller holds mu.
func (s *shard) link(c *Conn) {
	if c.next = s.conns; c.next != nil {
		c.next.prev = c
	}
	s.conns = c
}

// unlink takes c off the list. The caller holds mu.
func (s *shard) unlink(c *Conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		s.conns = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// leave takes c off the books.
func (l *ledger) leave(c *Conn) {
	l.strike(c)
	l.vacate(c.key)
}

// strike takes c off the list, so that it can be forgotten. It still counts.
func (l *ledger) strike(c *Conn) {
	s := l.shard(c.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlink(c)
}

// vacate counts one connection of k less, in all at last: who sees that there is
// room finds room for k.
func (l *ledger) vacate(k addrKey) {
	defer l.open.Add(-1)
	if k == noAddr {
		return
	}
	s := l.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.uses[k]
	u.conns--
	if u.conns == 0 {
		if u.full <= l.now() || s.remembered >= maxRemembered {
			delete(s.uses, k)
			return
		}
		s.remembered++
	}
	s.uses[k] = u
}

// allow takes a handshake from the bucket of k, which holds perSecond of them
// and is filled with as many a second. It allocates nothing for an address
// that is known or replaces one that was forgotten.
func (l *ledger) allow(k addrKey, perSecond int) bool {
	if k == noAddr || perSecond <= 0 {
		return true
	}
	interval := max(time.Second/time.Duration(perSecond), 1)
	s := l.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.now()
	u, known := s.uses[k]
	full := max(u.full, now) + interval
	if full-now > time.Second {
		return false
	}
	if !known {
		s.makeRoom(now)
		if s.remembered >= maxRemembered {
			return true
		}
		s.remembered++
	}
	u.full = full
	s.uses[k] = u
	return true
}

// makeRoom forgets addresses without connections whose buckets are full, when
// so many have come since the last time that it costs little for each. The
// caller holds mu and is about to add an entry.
func (s *shard) makeRoom(now time.Duration) {
	full := s.remembered >= maxRemembered && now-s.swept >= sweepEvery
	if len(s.uses) < s.sweepAt && !full {
		return
	}
	s.swept = now
	for k, u := range s.uses {
		if u.conns == 0 && u.full <= now {
			delete(s.uses, k)
			s.remembered--
		}
	}
	s.sweepAt = max(firstSweep, 2*len(s.uses))
}

// each calls f for every connection on the books, with a lock held: f must not
// block nor enter or leave.
func (l *ledger) each(f func(*Conn)) {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		for c := s.conns; c != nil; c = c.next {
			f(c)
		}
		s.mu.Unlock()
	}
}
