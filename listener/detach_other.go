//go:build !unix

package listener

import (
	"errors"
	"fmt"
)

// Detach returns errors.ErrUnsupported: only Unix systems have descriptors
// that can be handed over.
func (c *Conn) Detach() (fd int, p Place, err error) {
	return -1, nil, fmt.Errorf("detach connection of %v: %w", c.client, errors.ErrUnsupported)
}
