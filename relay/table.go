//go:build linux && (amd64 || arm64)

package relay

import (
	"errors"
	"sync"
	"sync/atomic"
)

const (
	chunkSize = 256
	maxChunks = 4096 // 1,048,576 pairs a loop
)

var errTableFull = errors.New("event loop holds 1048576 pairs, its limit")

// table finds a pair by the token that the kernel reports. Any goroutine may
// put; the loop gets and drops. A slot that is used again has a new generation,
// so that a late event for its former pair is recognised.
type table struct {
	chunks [maxChunks]atomic.Pointer[chunk]

	mu   sync.Mutex       // guards what follows
	ids  map[uint64]*pair // open ones
	free []uint32
	gens []uint32
	used uint32
}

type chunk [chunkSize]atomic.Pointer[pair]

// put stores p and sets its slot and generation.
func (t *table) put(p *pair) error {
	t.mu.Lock()
	if n := len(t.free); n > 0 {
		p.slot = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		if t.used == chunkSize*maxChunks {
			t.mu.Unlock()
			return errTableFull
		}
		p.slot = t.used
		t.used++
		t.gens = append(t.gens, 0)
		if p.slot%chunkSize == 0 {
			t.chunks[p.slot/chunkSize].Store(new(chunk))
		}
	}
	t.gens[p.slot]++
	p.gen = t.gens[p.slot]
	t.mu.Unlock()
	t.chunks[p.slot/chunkSize].Load()[p.slot%chunkSize].Store(p)
	return nil
}

// get returns the pair of a slot, nil if it is free.
func (t *table) get(slot uint32) *pair {
	c := t.chunks[slot/chunkSize].Load()
	if c == nil {
		return nil
	}
	return c[slot%chunkSize].Load()
}

// drop frees the slot of p.
func (t *table) drop(p *pair) {
	t.chunks[p.slot/chunkSize].Load()[p.slot%chunkSize].Store(nil)
	t.mu.Lock()
	delete(t.ids, p.id)
	t.free = append(t.free, p.slot)
	t.mu.Unlock()
}

// name has find return p, until it is dropped.
func (t *table) name(p *pair) {
	t.mu.Lock()
	if t.ids == nil {
		t.ids = map[uint64]*pair{}
	}
	t.ids[p.id] = p
	t.mu.Unlock()
}

// find returns the open pair of that id, nil if there is none. Any goroutine
// may call it, but must not touch the pair.
func (t *table) find(id uint64) *pair {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids[id]
}

// each calls f with every pair that is in the table now.
func (t *table) each(f func(*pair)) {
	for i := 0; t.some(i, f); i++ {
	}
}

// some calls f with every pair that is in chunk i now, and is false if there
// is no such chunk. A pair stays in its chunk for life.
func (t *table) some(i int, f func(*pair)) bool {
	if i >= maxChunks {
		return false
	}
	c := t.chunks[i].Load()
	if c == nil {
		return false
	}
	for j := range c {
		if p := c[j].Load(); p != nil {
			f(p)
		}
	}
	return true
}
