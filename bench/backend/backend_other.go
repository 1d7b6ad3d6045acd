//go:build !linux

package backend

// Backends exists on Linux only.
type Backends struct{}

// Start returns ErrUnsupported.
func Start(listeners, loops int) (*Backends, error) { return nil, ErrUnsupported }

// Addresses returns nothing.
func (b *Backends) Addresses() []string { return nil }

// Close does nothing.
func (b *Backends) Close() error { return nil }
