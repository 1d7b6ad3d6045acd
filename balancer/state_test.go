package balancer

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func TestStateFillsItsOwnCacheLines(t *testing.T) {
	if size := unsafe.Sizeof(State{}); size != 128 {
		t.Errorf("a State has %d bytes, want 128", size)
	}
	for range 100 {
		s := newState(Key{}, true, "", epoch)
		if at := uintptr(unsafe.Pointer(s)); at%128 != 0 {
			t.Fatalf("a State lies at %#x, across a pair of cache lines", at)
		}
	}
}

func TestStateCounts(t *testing.T) {
	f := func(word uint64, want Counts) {
		t.Helper()
		if got := countsOf(word); got != want {
			t.Errorf("%#x: got %+v, want %+v", word, got, want)
		}
		if got, want := active(word), want.Sockets+want.Requests+want.Handshakes; got != uint64(want) {
			t.Errorf("%#x: %d active, want %d", word, got, want)
		}
	}
	f(0, Counts{})
	f(statusBits, Counts{})
	f(5*oneSocket+7*oneRequest+11*oneHandshake, Counts{Sockets: 5, Requests: 7, Handshakes: 11})
	f(statusBits|maxLeases*oneSocket, Counts{Sockets: maxLeases})
	f(maxLeases*oneHandshake, Counts{Handshakes: maxLeases})
	f(maxLeases*oneRequest, Counts{Requests: maxLeases})
}

func TestStateStatusAndCountsLeaveEachOtherAlone(t *testing.T) {
	s := newState(Key{}, true, "new", epoch)
	s.word.Add(3*oneSocket + 4*oneRequest)
	s.setHealth(false, "refused", epoch)
	s.setStatus(modeBits, Drain.bits(false))
	if got, want := s.Counts(), (Counts{Sockets: 3, Requests: 4}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	s.reset(true, "again", epoch)
	if got, want := s.Counts(), (Counts{Sockets: 3, Requests: 4}); got != want || !s.Up() || s.Mode() != Ready {
		t.Errorf("after reset: counts %+v, up %v, mode %s", got, s.Up(), s.Mode())
	}
}

func TestStateSinceChangesWithHealthOnly(t *testing.T) {
	s := newState(Key{}, true, "new", epoch)
	f := func(up bool, why string, after time.Duration, wantSince time.Duration) {
		t.Helper()
		s.setHealth(up, why, epoch.Add(after))
		v := s.verdict.Load()
		if s.Up() != up || v.why != why || !v.since.Equal(epoch.Add(wantSince)) {
			t.Errorf("up %v, why %q, since %s", s.Up(), v.why, v.since.Sub(epoch))
		}
	}
	f(true, "200", 1, 0)
	f(true, "200", 2, 0)
	f(false, "refused", 3, 3)
	f(false, "timeout", 4, 3)
	f(true, "200", 5, 5)
}

// BenchmarkStateSharing shows what the padding of State is for: two cores that
// count on two backends, 8, 64 and 128 bytes apart.
func BenchmarkStateSharing(b *testing.B) {
	f := func(name string, apart int) {
		b.Run(name, func(b *testing.B) {
			words := make([]atomic.Uint64, 1024)
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				w := &words[int(next.Add(1))*apart/8%len(words)]
				for pb.Next() {
					w.Add(1)
					w.Add(^uint64(0))
				}
			})
		})
	}
	f("8", 8)
	f("64", 64)
	f("128", 128)
}
