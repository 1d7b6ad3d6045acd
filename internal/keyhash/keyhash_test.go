package keyhash

import (
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"testing"
)

// The vectors of the authors, for keys of each length: secret and input are the
// bytes 0, 1, 2 and so on. Where an input lies in memory does not matter, which
// an implementation for ARM has once got wrong.
func TestHashIsSipHash24(t *testing.T) {
	var counting [Size + 64]byte
	for i := range counting {
		counting[i] = byte(i)
	}
	s, err := Carried(counting[:Size])
	if err != nil {
		t.Fatal(err)
	}
	f := func(length int, want string) {
		t.Helper()
		for shift := range 8 {
			b := make([]byte, shift+length)
			copy(b[shift:], counting[:length])
			var got [8]byte
			binary.LittleEndian.PutUint64(got[:], s.Hash(b[shift:]))
			if hex.EncodeToString(got[:]) != want {
				t.Errorf("%d bytes, %d behind a boundary: %x, want %s", length, shift, got, want)
			}
		}
	}
	f(0, "310e0edd47db6f72")
	f(1, "fd67dc93c539f874")
	f(7, "37d1018bf50002ab")
	f(8, "6224939a79f5f593")
	f(15, "e545be4961ca29a1")
	f(63, "724506eb4c328a95")
}

func TestSecretsAreTheirBytes(t *testing.T) {
	one, two := New(), New()
	key := []byte("room 7")
	if one == two || one.Hash(key) == two.Hash(key) {
		t.Errorf("two secrets are the same: %x", one)
	}
	again, err := Carried(one[:])
	if err != nil || again.Hash(key) != one.Hash(key) {
		t.Errorf("a secret that was carried hashes otherwise: %v", err)
	}
	for _, wrong := range [][]byte{nil, one[:Size-1], append(one[:], 0)} {
		if s, err := Carried(wrong); err == nil {
			t.Errorf("%x is taken for the secret %x", wrong, s)
		}
	}
	if n := testing.AllocsPerRun(100, func() { one.Hash(key) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkHash has maphash beside it, for what the secret costs.
func BenchmarkHash(b *testing.B) {
	s, seed := New(), maphash.MakeSeed()
	for _, key := range []string{"room 07", "10.11.12.13:50000", "3f0e6a52-8c1b-4a57-9a41-6b0c2d9ee0f1"} {
		k := []byte(key)
		f := func(name string, hash func() uint64) {
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(k)))
				var sum uint64
				for b.Loop() {
					sum ^= hash()
				}
				_ = sum
			})
		}
		f("siphash", func() uint64 { return s.Hash(k) })
		f("maphash", func() uint64 { return maphash.Bytes(seed, k) })
	}
}
