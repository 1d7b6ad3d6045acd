package balancer

import "testing"

func TestTried(t *testing.T) {
	var none *Tried
	if none.Has(&Backend{}) {
		t.Error("a nil set has something")
	}
	backends := make([]Backend, triedSize+2)
	var tried Tried
	for i := range backends {
		if tried.Has(&backends[i]) {
			t.Errorf("has %d before it was added", i)
		}
		tried.Add(&backends[i])
		if !tried.Has(&backends[i]) {
			t.Errorf("lacks %d after it was added", i)
		}
	}
	for i := range backends {
		if got, want := tried.Has(&backends[i]), i >= 2; got != want {
			t.Errorf("has %d: %v, want %v", i, got, want)
		}
	}
}
