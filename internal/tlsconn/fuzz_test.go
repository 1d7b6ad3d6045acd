package tlsconn

import (
	"bytes"
	"crypto/tls"
	"slices"
	"testing"
)

// FuzzOpen: whatever is put between and into a peer's records, and however it
// is cut, nothing is heard but what the peer has said, in its order.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("x"), uint16(7), uint16(3), false)
	f.Add([]byte("\x17\x03\x03\x00\x01x"), uint16(0), uint16(100), true)
	f.Add([]byte("\x15\x03\x03\x00\x02\x01\x00"), uint16(0), uint16(1), false)
	f.Add([]byte("\x16\x03\x03\x40\x00\x01"), uint16(500), uint16(5), true)
	f.Add([]byte{}, uint16(0), uint16(17), false)
	said := bytes.Repeat([]byte("all that was said. "), 50)
	f.Fuzz(func(t *testing.T, junk []byte, at, cut uint16, newest bool) {
		version := uint16(tls.VersionTLS12)
		if newest {
			version = tls.VersionTLS13
		}
		server, client := detached(t, version)
		wire := seal(t, client, said[:300])
		wire = append(wire, seal(t, client, said[300:])...)
		wire = slices.Insert(wire, min(int(at), len(wire)), junk...)
		var heard []byte
		var err error
		for len(wire) > 0 && err == nil {
			n := min(len(wire), 1+int(cut))
			var plain []byte
			plain, _, err = server.Open(nil, wire[:n])
			heard, wire = append(heard, plain...), wire[n:]
		}
		switch {
		case !bytes.HasPrefix(said, heard):
			t.Errorf("%q is heard", heard)
		case len(junk) == 0 && (err != nil || len(heard) != len(said)):
			t.Errorf("%d bytes of %d are heard, %v", len(heard), len(said), err)
		case err != nil && server.Err() != err:
			t.Errorf("the error %v has become %v", err, server.Err())
		}
	})
}
