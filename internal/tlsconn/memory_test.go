package tlsconn

import (
	"crypto/tls"
	"runtime"
	"testing"
	"unsafe"
)

// What an idle connection holds, in bytes, with TLS 1.3 and AES-128-GCM:
//
//	tls.Conn                         896
//	Conn                             128
//	two ciphers, with expanded keys 1856
//	secrets, and how to derive more  270
//
// This test is there to be looked at when it fails.
func TestIdleConnStaysSmall(t *testing.T) {
	if raceEnabled || !lends {
		t.Skip("connections are larger under the race detector, and where crypto/tls has other buffers")
	}
	if n := unsafe.Sizeof(Conn{}); n > 128 {
		t.Errorf("a Conn takes %d bytes, 128 are planned for", n)
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what sync.Pool holds
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const n = 300
	var kept [n]*Conn
	for range 20 {
		detached(t, tls.VersionTLS13) // what is made once
	}
	before := heap()
	for i := range kept {
		server, client := detached(t, tls.VersionTLS13)
		// It has been used, for a large message too.
		if _, _, err := server.Open(nil, seal(t, client, make([]byte, 20000))); err != nil {
			t.Fatal(err)
		}
		if _, err := server.Seal(nil, make([]byte, 20000)); err != nil {
			t.Fatal(err)
		}
		kept[i] = server
	}
	each := (heap() - before) / n
	runtime.KeepAlive(kept)
	if each > 3500 {
		t.Errorf("an idle connection holds %d bytes of heap, 3500 are planned for", each)
	}
}
