package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// keySet is a JSON Web Key Set (RFC 7517) that was fetched. It never changes.
type keySet struct {
	raw  []byte
	keys keyfunc.Keyfunc
	size int // usable keys
}

// parseKeySet reads a set. Keys of a kind that is not understood, and those
// that are not for signatures, are passed over (RFC 7517, section 5), and so
// are secrets, which nobody should publish.
func parseKeySet(raw []byte) (*keySet, error) {
	var list struct {
		Keys []jwkset.JWKMarshal `json:"keys"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("is not a JSON Web Key Set")
	}
	store := jwkset.NewMemoryStorage()
	s := &keySet{raw: bytes.Clone(raw)}
	for _, k := range list.Keys {
		if k.KTY == jwkset.KtyOct || k.USE != "" && k.USE != jwkset.UseSig {
			continue
		}
		key, err := jwkset.NewJWKFromMarshal(k, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		if err := store.KeyWrite(context.Background(), key); err != nil {
			return nil, fmt.Errorf("store key: %w", err)
		}
		s.size++
	}
	if s.size == 0 {
		return nil, fmt.Errorf("holds %d keys, none of which verifies signatures", len(list.Keys))
	}
	var err error
	s.keys, err = keyfunc.New(keyfunc.Options{Storage: store})
	return s, err
}

// find returns the key that a token names, or all of them if it names none.
func (s *keySet) find(t *jwt.Token) (any, error) { return s.keys.Keyfunc(t) }

func (s *keySet) equal(other *keySet) bool {
	return other != nil && bytes.Equal(s.raw, other.raw)
}
