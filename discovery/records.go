package discovery

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/holdfast-lb/holdfast/config"
)

const (
	// maxAliases bounds a chain of CNAME records.
	maxAliases = 16
	// maxTTL bounds for how long an answer is used, whatever it says.
	maxTTL = time.Hour
)

// records is what one message says about one name.
type records struct {
	addresses []netip.Addr
	services  []service
	ttl       time.Duration // of what is above and of the aliases that led there
}

// service is one SRV record (RFC 2782).
type service struct {
	target           string // in lower case, with a dot at its end
	port             uint16
	priority, weight uint16
}

// read takes what answers a question out of a message: it follows aliases, and
// passes over whatever else is there. A message that answers another question,
// or holds addresses where no backend can be, is a trouble.
func read(m *dns.Msg, name string, kind uint16) (records, error) {
	r := records{ttl: maxTTL}
	if err := isAnswer(m, name, kind); err != nil {
		return r, err
	}
	owner := dns.CanonicalName(name)
	for range maxAliases {
		alias, ttl := aliasOf(m.Answer, owner)
		if alias == "" {
			break
		}
		owner = alias
		r.live(ttl)
	}
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != owner || h.Rrtype != kind {
			continue
		}
		r.live(h.Ttl)
		if s, ok := rr.(*dns.SRV); ok {
			r.services = append(r.services, service{dns.CanonicalName(s.Target), s.Port, s.Priority, s.Weight})
			continue
		}
		ip, err := addressOf(rr)
		if err != nil {
			return r, err
		}
		if !slices.Contains(r.addresses, ip) {
			r.addresses = append(r.addresses, ip)
		}
	}
	return r, nil
}

// isAnswer tells whether a message answers that question.
func isAnswer(m *dns.Msg, name string, kind uint16) error {
	if m.Response && len(m.Question) == 1 {
		q := m.Question[0]
		if strings.EqualFold(q.Name, name) && q.Qtype == kind && q.Qclass == dns.ClassINET {
			return nil
		}
	}
	return troubled("nonsense", "the answer is to another question than %s %s", name, dns.TypeToString[kind])
}

// live shortens r's time to that of another record.
func (r *records) live(seconds uint32) { r.ttl = min(r.ttl, time.Duration(seconds)*time.Second) }

// aliasOf is what a CNAME says that a name is; empty: there is none.
func aliasOf(section []dns.RR, name string) (alias string, ttl uint32) {
	for _, rr := range section {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && dns.CanonicalName(c.Hdr.Name) == name {
			return dns.CanonicalName(c.Target), c.Hdr.Ttl
		}
	}
	return "", 0
}

// addressOf is the address in an A or AAAA record.
func addressOf(rr dns.RR) (netip.Addr, error) {
	var raw []byte
	switch rr := rr.(type) {
	case *dns.A:
		raw = rr.A
	case *dns.AAAA:
		raw = rr.AAAA
	}
	ip, _ := netip.AddrFromSlice(raw)
	if ip = ip.Unmap(); !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return ip, troubled("nonsense", "no backend can be at the address %s", ip)
	}
	return ip, nil
}

// glue are the addresses that a message's additional section has for a name, and
// how long they live.
func glue(m *dns.Msg, name string) (r records, err error) {
	r.ttl = maxTTL
	for _, rr := range m.Extra {
		h := rr.Header()
		if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != name || h.Rrtype != dns.TypeA && h.Rrtype != dns.TypeAAAA {
			continue
		}
		ip, err := addressOf(rr)
		if err != nil {
			return r, err
		}
		r.live(h.Ttl)
		if !slices.Contains(r.addresses, ip) {
			r.addresses = append(r.addresses, ip)
		}
	}
	return r, nil
}

// preferred are the services that clients must use: those of the lowest priority
// number. None is left of the one service whose target is the root, which says
// that there are none.
func preferred(all []service) []service {
	var best []service
	for _, s := range all {
		switch {
		case s.target == ".":
		case len(best) == 0 || s.priority < best[0].priority:
			best = []service{s}
		case s.priority == best[0].priority:
			best = append(best, s)
		}
	}
	return best
}

// backendAt is the backend at an address that a name has, or a service's target.
func backendAt(c *config.DNSDiscovery, ip netip.Addr, port uint16) config.Backend {
	at := netip.AddrPortFrom(ip, port).String()
	return config.Backend{Name: at, URL: c.Scheme + "://" + at, Weight: 1, MaxConnections: c.MaxConnections}
}

// shortName is what a service's target is called within the domain that was
// asked for: arena-0 for arena-0.arena.default.svc.cluster.local if the question
// was _game._tcp.arena.default.svc.cluster.local.
func shortName(target, question string) string {
	domain := dns.CanonicalName(question)
	for strings.HasPrefix(domain, "_") {
		_, domain, _ = strings.Cut(domain, ".")
	}
	name := target
	if short, within := strings.CutSuffix(target, "."+domain); within && domain != "" && short != "" {
		name = short
	}
	return strings.TrimSuffix(name, ".")
}

// named gives backends of services their names, which must be different: who
// shares one is called by name and address.
func named(backends []config.Backend, names []string) {
	count := map[string]int{}
	for _, name := range names {
		count[name]++
	}
	for i := range backends {
		b := &backends[i]
		_, address := b.Target()
		if b.Name = names[i]; count[b.Name] > 1 {
			b.Name += "@" + address
		}
		if !config.IsName(b.Name) {
			b.Name = address
		}
	}
}

// weightOf is a service's weight; RFC 2782 gives 0 a very small one.
func weightOf(s service) int { return max(1, int(s.weight)) }
