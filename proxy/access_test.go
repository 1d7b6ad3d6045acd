package proxy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestAccessList(t *testing.T) {
	f := func(allow, deny []string, client string, want bool) {
		t.Helper()
		l, err := newAccessList(config.Access{Allow: allow, Deny: deny})
		if err != nil {
			t.Fatal(err)
		}
		var ip netip.Addr
		if client != "" {
			ip = netip.MustParseAddr(client)
		}
		if got := l.admits(ip); got != want {
			t.Errorf("allow %q deny %q: %q is let in: %t, want %t", allow, deny, client, got, want)
		}
	}
	list := func(s ...string) []string { return s }
	f(list("10.0.0.0/8"), nil, "10.0.0.0", true)
	f(list("10.0.0.0/8"), nil, "10.255.255.255", true)
	f(list("10.0.0.0/8"), nil, "11.0.0.0", false)
	f(list("10.0.0.0/8"), nil, "9.255.255.255", false)
	f(list("10.0.0.0/8"), nil, "::1", false)
	f(list("10.0.0.7"), nil, "10.0.0.7", true)
	f(list("10.0.0.7"), nil, "10.0.0.6", false)
	f(list("10.0.0.7"), nil, "10.0.0.8", false)
	f(list("::ffff:10.0.0.0/104"), nil, "10.1.2.3", true)
	f(list("fd00::/8", "10.0.0.0/8"), nil, "fd12::1", true)
	f(list("fd00::/8", "10.0.0.0/8"), nil, "fe00::", false)
	f(list("0.0.0.0/0"), nil, "255.255.255.255", true)
	f(list("0.0.0.0/0"), nil, "::", false)
	f(list("0.0.0.0/0", "::/0"), nil, "::", true)
	f(list("0.0.0.0/0", "::/0"), nil, "255.255.255.255", true)
	f(list("::/0"), nil, "1.1.1.1", false)
	f(list("10.0.0.0/8", "10.0.0.0/16", "10.3.0.0/16"), nil, "10.200.0.1", true) // one within another

	f(nil, list("10.0.0.0/8"), "10.0.0.1", false)
	f(nil, list("10.0.0.0/8"), "11.0.0.1", true)
	f(list("10.0.0.0/8"), list("10.0.0.0/24"), "10.0.0.1", false) // deny wins
	f(list("10.0.0.0/24"), list("10.0.0.0/8"), "10.0.0.1", false) // however exact allow is
	f(list("10.0.0.0/8"), list("10.0.0.0/24"), "10.0.1.1", true)

	f(nil, list("0.0.0.0/0", "::/0"), "", true)  // a Unix socket: in no list
	f(list("0.0.0.0/0", "::/0"), nil, "", false) // so it is not in allow either

	if l, err := newAccessList(config.Access{}); l != nil || err != nil {
		t.Errorf("without lists: %v, %v", l, err)
	}
}

// The set agrees with asking each block in turn.
func TestAddressSetIsTheUnion(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		// Few bits vary, so that blocks meet, overlap and hold each other.
		if random.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(random.IntN(3)), 0, byte(random.IntN(8))})
		}
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: byte(random.IntN(3)), 15: byte(random.IntN(8))})
	}
	for range 300 {
		var texts []string
		var blocks []netip.Prefix
		for range random.IntN(8) {
			ip := address()
			p, _ := ip.Prefix(ip.BitLen() - random.IntN(ip.BitLen()+1)*random.IntN(2))
			texts, blocks = append(texts, p.String()), append(blocks, p)
		}
		set, err := newAddressSet(texts)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			if ip := address(); set.has(ip) != contains(blocks, ip) {
				t.Fatalf("%s in %q: %t, want %t", ip, texts, set.has(ip), contains(blocks, ip))
			}
		}
	}
}

func manyBlocks(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("10.%d.%d.0/28", i/256, i%256)
	}
	return texts
}

func TestAdmissionDoesNotAllocate(t *testing.T) {
	l, err := newAccessList(config.Access{Allow: manyBlocks(1000), Deny: manyBlocks(100)})
	if err != nil {
		t.Fatal(err)
	}
	origins, err := newOriginList([]string{"https://game.example.com", "https://*.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	ip, b := netip.MustParseAddr("10.2.0.1"), block("Origin: https://A.b.Example.org")
	if n := testing.AllocsPerRun(100, func() {
		if !l.admits(ip) || !origins.admits(b) {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkAccessList(b *testing.B) {
	for _, n := range []int{1, 10, 100, 10000} {
		l, err := newAccessList(config.Access{Allow: manyBlocks(n)})
		if err != nil {
			b.Fatal(err)
		}
		ip := netip.MustParseAddr("11.0.0.1")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.admits(ip)
			}
		})
	}
}

func BenchmarkAccessListLinear(b *testing.B) {
	for _, n := range []int{1, 10, 100, 10000} {
		var blocks []netip.Prefix
		for _, text := range manyBlocks(n) {
			blocks = append(blocks, netip.MustParsePrefix(text))
		}
		ip := netip.MustParseAddr("11.0.0.1")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				contains(blocks, ip)
			}
		})
	}
}
