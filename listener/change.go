package listener

import (
	"errors"
	"fmt"

	"github.com/holdfast-lb/holdfast/config"
)

// Change is a prepared change of a [Set]. Either Commit or Abort must be
// called, once.
type Change struct {
	set    *Set
	add    []*socket
	keep   map[*socket]*settings
	remove []*socket
}

// Prepare binds the listeners that the Set does not have yet. What it returns
// changes the Set to just these listeners when committed. On error, which
// names every listener that could not be bound, nothing has changed and
// nothing stays bound. New sockets queue connections from here on, but none is
// accepted before Commit.
func (s *Set) Prepare(listeners []config.Listener) (*Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.pending != nil {
		return nil, errPending
	}
	ch := &Change{set: s, keep: make(map[*socket]*settings)}
	seen := make(map[string]string)
	var errs []error
	for _, l := range listeners {
		if first, twice := seen[l.Address]; twice {
			errs = append(errs, fmt.Errorf("listen on %s for listener %q: listener %q has that address, give each its own", l.Address, l.Name, first))
			continue
		}
		seen[l.Address] = l.Name
		st, err := s.compile(l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if sk := s.bound[l.Address]; sk != nil {
			ch.keep[sk] = st
			continue
		}
		ln, err := s.inherit(l.Address)
		inherited := ln != nil
		if !inherited && err == nil {
			ln, err = bind(l.Address, st.defers)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("listen on %s for listener %q: %w", l.Address, l.Name, err))
			continue
		}
		sk := newSocket(l.Address, ln, st, s.opts)
		sk.inherited = inherited
		ch.add = append(ch.add, sk)
	}
	for address, sk := range s.bound {
		if _, stays := seen[address]; !stays {
			ch.remove = append(ch.remove, sk)
		}
	}
	if err := errors.Join(errs...); err != nil {
		ch.drop()
		return nil, err
	}
	s.pending = ch
	return ch, nil
}

// Commit makes the change. It cannot fail and does not block: removed
// listeners finish their requests in the background. On a Set that was shut
// down meanwhile it does what Abort does.
func (ch *Change) Commit() {
	s := ch.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != ch {
		return
	}
	s.pending = nil
	if s.closed {
		ch.drop()
		return
	}
	for _, sk := range ch.remove {
		delete(s.bound, sk.address)
		sk.stop()
		s.retired = append(s.retired, sk)
	}
	// Gauges of names that are gone go first: another listener may take the
	// name over in this very change.
	s.forgetEmpty()
	for sk, st := range ch.keep {
		if old := sk.settings.Load(); old.name != st.name {
			old.meter.SetOpen(nil)
		}
	}
	for sk, st := range ch.keep {
		sk.apply(st)
	}
	for _, sk := range ch.add {
		s.bound[sk.address] = sk
		sk.start()
	}
	s.disinherit()
}

// Abort closes what Prepare bound. The Set stays as it is.
func (ch *Change) Abort() {
	s := ch.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != ch {
		return
	}
	s.pending = nil
	ch.drop()
}

// drop closes the sockets that were bound for the change.
func (ch *Change) drop() {
	for _, sk := range ch.add {
		sk.ln.Close()
	}
}

// forgetEmpty lets go of stopped listeners whose last connection has ended.
// The caller holds mu.
func (s *Set) forgetEmpty() {
	left := s.retired[:0]
	for _, sk := range s.retired {
		if sk.ledger.open.Load() > 0 {
			left = append(left, sk)
		} else {
			sk.settings.Load().meter.SetOpen(nil)
		}
	}
	clear(s.retired[len(left):])
	s.retired = left
}
