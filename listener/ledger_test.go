package listener

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestKeyOf(t *testing.T) {
	same := func(a, b string) {
		t.Helper()
		if keyOf(addr(a)) != keyOf(addr(b)) {
			t.Errorf("%s and %s are counted apart", a, b)
		}
	}
	differ := func(a, b string) {
		t.Helper()
		if keyOf(addr(a)) == keyOf(addr(b)) {
			t.Errorf("%s and %s are counted together", a, b)
		}
	}
	same("10.0.0.1", "::ffff:10.0.0.1")
	same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2")
	same("fe80::1%eth0", "fe80::2%eth1")
	differ("10.0.0.1", "10.0.0.2")
	differ("2001:db8:0:1::1", "2001:db8:0:2::1")
	differ("0.0.0.0", "::")
	differ("::1", "127.0.0.1")
	if keyOf(addr("::1")) == noAddr || keyOf(addr("0.0.0.0")) == noAddr {
		t.Error("an address has the key of no address")
	}
}

// The bucket holds a second's worth, is refilled steadily, and is each
// address's own.
func TestAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		k := keyOf(addr("10.0.0.1"))
		take := func(want int) {
			t.Helper()
			n := 0
			for range 100 {
				if l.allow(k, 20) {
					n++
				}
			}
			if n != want {
				t.Errorf("at %v: %d handshakes of 100, want %d", l.now(), n, want)
			}
		}
		take(20)
		time.Sleep(50 * time.Millisecond)
		take(1)
		time.Sleep(500 * time.Millisecond)
		take(10)
		time.Sleep(time.Hour)
		take(20)
		if !l.allow(keyOf(addr("10.0.0.2")), 20) {
			t.Error("another address is refused")
		}
		for range 100 {
			if !l.allow(noAddr, 20) || !l.allow(k, 0) {
				t.Fatal("refused without an address or without a limit")
			}
		}
	})
}

// An address that has left and come back finds its bucket as it was.
func TestBucketOutlivesConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		n := 0
		for range 100 {
			c := &Conn{key: keyOf(addr("10.0.0.1"))}
			if _, ok := l.enter(c, 0, 1); !ok {
				t.Fatal("refused although it had left")
			}
			if l.allow(c.key, 20) {
				n++
			}
			l.leave(c)
		}
		if n != 20 {
			t.Errorf("%d handshakes of 100, want 20", n)
		}
	})
}

// A flood of addresses leaves a table of bounded size that shrinks again.
func TestTableIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		size := func() (entries, remembered int) {
			for i := range l.shards {
				entries += len(l.shards[i].uses)
				remembered += l.shards[i].remembered
			}
			return entries, remembered
		}
		const flood = 3 * maxRemembered << shardBits
		for i := range addrKey(flood) {
			if !l.allow(ipv4Block|i, 1) {
				t.Fatal("a new address was refused")
			}
		}
		if n, r := size(); n > maxRemembered<<shardBits || n != r {
			t.Errorf("%d entries, %d without connections, want %d at most and as many", n, r, maxRemembered<<shardBits)
		}
		time.Sleep(2 * time.Second)
		for i := range addrKey(1 << 18) {
			l.allow(ipv4Block|i, 1000)
			time.Sleep(time.Millisecond)
		}
		if n, r := size(); n > 2*firstSweep<<shardBits || n != r {
			t.Errorf("%d entries, %d without connections, after a calm; want %d at most and as many", n, r, 2*firstSweep<<shardBits)
		}
	})
}

func TestEnterAndLeave(t *testing.T) {
	l := newLedger()
	var in []*Conn
	enter := func(ip string, maxConns, perAddr int, want Refusal, wantOK bool) {
		t.Helper()
		c := &Conn{client: addr(ip), key: keyOf(addr(ip))}
		why, ok := l.enter(c, maxConns, perAddr)
		if why != want || ok != wantOK {
			t.Errorf("enter(%s): %v, %v, want %v, %v", ip, why, ok, want, wantOK)
		}
		if ok {
			in = append(in, c)
		}
	}
	listed := func() int {
		n := 0
		l.each(func(*Conn) { n++ })
		return n
	}
	enter("10.0.0.1", 3, 2, 0, true)
	enter("10.0.0.1", 3, 2, 0, true)
	enter("10.0.0.1", 3, 2, RefusedMaxConnectionsPerIP, false)
	enter("10.0.0.2", 3, 2, 0, true)
	enter("10.0.0.3", 3, 2, RefusedMaxConnections, false)
	enter("10.0.0.1", 0, 0, 0, true)
	if n := l.open.Load(); n != 4 || listed() != 4 {
		t.Errorf("%d open, %d listed, want 4", n, listed())
	}
	// Any order of leaving keeps the lists whole.
	for _, i := range []int{1, 0, 3, 2} {
		l.leave(in[i])
	}
	if n := l.open.Load(); n != 0 || listed() != 0 {
		t.Errorf("%d open, %d listed, want 0", n, listed())
	}
	for i := range l.shards {
		if n := len(l.shards[i].uses); n != 0 {
			t.Errorf("shard %d still has %d addresses", i, n)
		}
	}
}

func TestAllowAllocatesNothing(t *testing.T) {
	l := newLedger()
	k := keyOf(addr("10.0.0.1"))
	if n := testing.AllocsPerRun(1000, func() { l.allow(k, 1000) }); n != 0 {
		t.Errorf("%v allocations a handshake, want 0", n)
	}
}

func BenchmarkAllow(b *testing.B) {
	l := newLedger()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := addrKey(0); pb.Next(); i++ {
			l.allow(ipv4Block|i%1000, 20)
		}
	})
}

func BenchmarkEnterLeave(b *testing.B) {
	l := newLedger()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := &Conn{}
		for i := addrKey(0); pb.Next(); i++ {
			c.key = ipv4Block | i%1000
			l.enter(c, 0, 0)
			l.leave(c)
		}
	})
}
