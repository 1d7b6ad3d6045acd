//go:build unix

package listener

import (
	"fmt"

	"github.com/holdfast-lb/holdfast/internal/sys"
)

// Handover returns what another process may inherit: by address as written in
// the configuration, a second descriptor for the listening socket. The caller
// owns these, close-on-exec and non-blocking; the Set goes on.
func (s *Set) Handover() (map[string]int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fds := make(map[string]int)
	for address, sk := range s.bound {
		fd, err := duplicate(sk.ln)
		if err != nil {
			for _, fd := range fds {
				sys.Close(fd)
			}
			return nil, fmt.Errorf("hand over the socket of %s: %w", address, err)
		}
		fds[address] = fd
	}
	return fds, nil
}
