//go:build amd64 || arm64

package proxy

import (
	"testing"
	"unsafe"
)

// What an idle socket owns in this package: docs/performance.md has the table,
// and this test is there to be looked at when it fails. Both are size classes
// of the allocator.
func TestSocketStaysSmall(t *testing.T) {
	if n := unsafe.Sizeof(socket{}); n > 192 {
		t.Errorf("a socket takes %d bytes, 192 are planned for", n)
	}
	if n := unsafe.Sizeof(asked{}); n > 48 {
		t.Errorf("what the log remembers of its handshake takes %d bytes beside the texts, 48 are planned for", n)
	}
}
