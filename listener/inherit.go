package listener

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// inherit returns the listening socket that another process has bound to
// address; nil: there is none. The caller holds mu.
func (s *Set) inherit(address string) (net.Listener, error) {
	f := s.opts.Inherited[address]
	if f == nil {
		return nil, nil
	}
	ln, err := net.FileListener(f) // a duplicate, so that an aborted change leaves f
	if err != nil {
		return nil, fmt.Errorf("inherit socket: %w", err)
	}
	if _, unix := ln.(*net.UnixListener); unix != strings.HasPrefix(address, unixPrefix) {
		_ = ln.Close()
		return nil, fmt.Errorf("inherit socket: it is bound to %s", ln.Addr())
	}
	return lazily(ln), nil
}

// disinherit closes what was inherited and is not needed. The caller holds mu.
func (s *Set) disinherit() {
	for address, f := range s.opts.Inherited {
		_ = f.Close()
		if path, unix := strings.CutPrefix(address, unixPrefix); unix && s.bound[address] == nil {
			s.unused = append(s.unused, path)
		}
	}
	s.opts.Inherited = nil
}

// UnlinkAtEnd says whether the files of Unix sockets are removed when their
// listeners end. At first those of the Set's own are and those of inherited ones
// are not: of two processes that listen, only one is to remove them. If it is this
// one, the files of inherited ones that no listener has wanted are removed now.
func (s *Set) UnlinkAtEnd(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sk := range s.bound {
		if ln, unix := sk.ln.(*net.UnixListener); unix {
			ln.SetUnlinkOnClose(yes)
		}
	}
	if yes {
		for _, path := range s.unused {
			_ = os.Remove(path)
		}
		s.unused = nil
	}
}
