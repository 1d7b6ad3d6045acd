package proxy

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/holdfast-lb/holdfast/config"
)

// accessList says from which addresses clients may come. It is immutable. A
// look-up takes time in the logarithm of the lists and allocates nothing.
type accessList struct {
	deny  addressSet
	allow addressSet
	all   bool // there is no allow list
}

// newAccessList compiles a route's access; nil if everybody may come.
func newAccessList(a config.Access) (*accessList, error) {
	if len(a.Allow) == 0 && len(a.Deny) == 0 {
		return nil, nil
	}
	allow, err := newAddressSet(a.Allow)
	if err != nil {
		return nil, err
	}
	deny, err := newAddressSet(a.Deny)
	if err != nil {
		return nil, err
	}
	return &accessList{deny: deny, allow: allow, all: len(a.Allow) == 0}, nil
}

// admits tells whether a client with that address may come in. A client
// without one (on a Unix socket) is in no list.
func (l *accessList) admits(ip netip.Addr) bool {
	return !l.deny.has(ip) && (l.all || l.allow.has(ip))
}

// addressSet is a set of addresses: ranges in order that neither overlap nor
// touch.
type addressSet []addressRange

type addressRange struct{ first, last netip.Addr }

func newAddressSet(texts []string) (addressSet, error) {
	ranges := make(addressSet, 0, len(texts))
	for _, text := range texts {
		p, err := config.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, addressRange{p.Addr(), lastOf(p)})
	}
	slices.SortFunc(ranges, func(a, b addressRange) int { return a.first.Compare(b.first) })
	set := ranges[:0]
	for _, r := range ranges {
		// The last address of all of IPv4 has no next one, so the families
		// never merge.
		if n := len(set); n > 0 && (r.first.Compare(set[n-1].last) <= 0 || r.first == set[n-1].last.Next()) {
			if set[n-1].last.Less(r.last) {
				set[n-1].last = r.last
			}
			continue
		}
		set = append(set, r)
	}
	return set, nil
}

// has tells whether the set holds ip, which must be unmapped and without a
// zone.
func (s addressSet) has(ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	// The first range that ends at ip or behind it is the only one that can
	// hold it.
	i := sort.Search(len(s), func(i int) bool { return s[i].last.Compare(ip) >= 0 })
	return i < len(s) && s[i].first.Compare(ip) <= 0
}

// lastOf is the last address of a block.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
