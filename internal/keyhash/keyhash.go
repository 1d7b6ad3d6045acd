// Package keyhash hashes what clients send, under a secret key, so that nobody
// can choose inputs that meet, or find the input that a hash belongs to.
//
// It is SipHash-2-4 (Aumasson and Bernstein, 2012), not hash/maphash: the key of
// that one can leave no process, and tables of hashes are carried into the next.
package keyhash

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/dchest/siphash"
)

// Size is the length of a secret in bytes.
const Size = 16

// Secret is the key of a hash. It is for whoever has the hashes, and for nobody
// else.
type Secret [Size]byte

// New is a random secret.
func New() (s Secret) {
	rand.Read(s[:]) // never fails, by its contract
	return s
}

// Carried is the secret with those bytes.
func Carried(b []byte) (s Secret, err error) {
	if len(b) != Size {
		return s, fmt.Errorf("read the secret of a hash: it has %d bytes, %d are needed", len(b), Size)
	}
	return Secret(b), nil
}

// Hash hashes b. It allocates nothing.
func (s *Secret) Hash(b []byte) uint64 {
	return siphash.Hash(binary.LittleEndian.Uint64(s[:8]), binary.LittleEndian.Uint64(s[8:]), b)
}
