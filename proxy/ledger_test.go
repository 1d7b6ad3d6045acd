package proxy

import (
	"io"
	"log/slog"
	"testing"

	"github.com/holdfast-lb/holdfast/metrics"
)

// A process finds sockets by the hashes of the one before it, and by nobody
// else's.
func TestHashKeyGoesOnWithTheSecretOfAnother(t *testing.T) {
	with := func(secret []byte) *Proxy {
		return New(Options{Metrics: metrics.New(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)), KeySecret: secret})
	}
	key := []byte("room 7")
	first := with(nil)
	if secret := first.KeySecret(); with(secret).HashKey(key) != first.HashKey(key) {
		t.Error("the same secret has two hashes of one key")
	} else if clear(secret); first.HashKey(key) == with(secret).HashKey(key) {
		t.Error("who is told the secret can change it")
	}
	for _, wrong := range [][]byte{nil, {1, 2, 3}, make([]byte, 17)} {
		one, two := with(wrong).HashKey(key), with(wrong).HashKey(key)
		if one == two || one == first.HashKey(key) {
			t.Errorf("with the secret %x hashes can be foreseen", wrong)
		}
	}
}
