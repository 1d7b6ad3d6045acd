package balancer

import "testing"

func TestUsable(t *testing.T) {
	f := func(up bool, mode Mode, asksDrain, want, wantWhenAllDown bool) {
		t.Helper()
		s := newState(Key{}, up, "", epoch)
		s.setStatus(modeBits, mode.bits(asksDrain))
		s.word.Add(3*oneSocket + 2*oneHandshake + oneRequest)
		word := s.word.Load()
		if got := usable(word, barUnusable); got != want {
			t.Errorf("up=%v %s: usable %v, want %v", up, mode, got, want)
		}
		if got := usable(word, barMode); got != wantWhenAllDown {
			t.Errorf("up=%v %s, all down: usable %v, want %v", up, mode, got, wantWhenAllDown)
		}
		if s.Up() != up || s.Mode() != mode {
			t.Errorf("up=%v %s reads back as up=%v %s", up, mode, s.Up(), s.Mode())
		}
	}
	f(true, Ready, false, true, true)
	f(true, Drain, false, false, false)
	f(true, Maintenance, false, false, false)
	f(false, Ready, false, false, true)
	f(false, Drain, false, false, false)
	f(false, Maintenance, false, false, false)
	f(true, Ready, true, false, false)
	f(false, Ready, true, false, false)
	f(true, Drain, true, false, false)
	f(true, Maintenance, true, false, false)
}

func TestModeString(t *testing.T) {
	f := func(m Mode, want string) {
		t.Helper()
		if got := m.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(Ready, "ready")
	f(Drain, "drain")
	f(Maintenance, "maintenance")
	f(Mode(7), "Mode(7)")
}
