package discovery

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/miekg/dns"

	"github.com/holdfast-lb/holdfast/config"
)

const (
	// resolvConf is where the system's servers are named.
	resolvConf = "/etc/resolv.conf"
	// maxUDP is the size of an answer that is asked for over UDP, in bytes: what
	// passes undivided (RFC 9715). A longer one comes over TCP.
	maxUDP = 1232
	// atOnce is how many targets of services are looked up at the same time.
	atOnce = 8
)

// dnsSource asks for a name. It is for one goroutine.
type dnsSource struct {
	c      config.DNSDiscovery
	most   int
	system string // path of resolv.conf

	family [2]bool // A, AAAA: it has had addresses
	name   string  // the last that answered, of those that a search list gives; "": none
}

func newDNSSource(c config.DNSDiscovery, most int) *dnsSource {
	return &dnsSource{c: c, most: most, system: resolvConf}
}

// fetch asks for all records. What it returns does not depend on their order.
func (s *dnsSource) fetch(ctx context.Context) (answer, error) {
	servers, names, err := s.places()
	if err != nil {
		return answer{}, err
	}
	var a answer
	for _, name := range names {
		if s.c.Type == "srv" {
			a, err = s.services(ctx, servers, name)
		} else {
			a, err = s.addresses(ctx, servers, name)
		}
		if err != nil {
			return answer{}, err
		}
		if len(a.backends) > 0 {
			s.name = name
			a.good = max(a.good, s.c.MinTTL)
			return a, nil
		}
	}
	return answer{good: s.c.MinTTL}, nil
}

// places are the servers to ask, in order, and the names that the name may
// stand for.
func (s *dnsSource) places() (servers, names []string, err error) {
	if s.c.Server != "" {
		return []string{s.c.Server}, []string{dns.Fqdn(s.c.Name)}, nil
	}
	sys, err := dns.ClientConfigFromFile(s.system)
	if err != nil {
		return nil, nil, err
	}
	if len(sys.Servers) == 0 {
		return nil, nil, troubled("unreadable", "%s names no server: write discovery.dns.server", s.system)
	}
	for _, server := range sys.Servers {
		servers = append(servers, net.JoinHostPort(server, sys.Port))
	}
	names = sys.NameList(s.c.Name)
	if i := slices.Index(names, s.name); i > 0 { // what has answered goes first
		names = slices.Insert(slices.Delete(names, i, i+1), 0, s.name)
	}
	return servers, names, nil
}

// addresses asks for A and AAAA. One of them may fail, as it does for ever at
// some servers, as long as there has been nothing under it.
func (s *dnsSource) addresses(ctx context.Context, servers []string, name string) (answer, error) {
	a := answer{good: maxTTL}
	var errs [2]error
	for i, kind := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		var r records
		if r, _, errs[i] = s.ask(ctx, servers, name, kind); errs[i] != nil {
			continue
		}
		for _, ip := range r.addresses {
			s.family[i] = true
			a.add(backendAt(&s.c, ip, uint16(s.c.Port))) // #nosec G115 -- validated
		}
		a.good = min(a.good, r.ttl)
	}
	for i, err := range errs {
		if err != nil && (s.family[i] || len(a.backends) == 0) {
			return answer{}, err
		}
	}
	return a, nil
}

// services asks for SRV and for the addresses of the targets, those of IPv6 if
// there are none of IPv4: a server is one backend.
func (s *dnsSource) services(ctx context.Context, servers []string, name string) (answer, error) {
	r, m, err := s.ask(ctx, servers, name, dns.TypeSRV)
	if err != nil {
		return answer{}, err
	}
	a := answer{good: r.ttl}
	all := preferred(r.services)
	if len(all) > s.most { // before each is looked up
		return answer{}, rules{most: s.most}.tooMany(len(all))
	}
	found := make([]records, len(all))
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i, one := range all {
		wg.Go(func() {
			places <- struct{}{}
			found[i], errs[i] = s.target(ctx, servers, m, one.target)
			<-places
		})
	}
	wg.Wait()
	var names []string
	for i, one := range all {
		if errs[i] != nil {
			return answer{}, errs[i]
		}
		a.good = min(a.good, found[i].ttl)
		for _, ip := range found[i].addresses {
			b := backendAt(&s.c, ip, one.port)
			b.Weight = weightOf(one)
			if one.port != 0 && a.add(b) {
				names = append(names, shortName(one.target, name))
			}
		}
		if n := len(a.backends); n > s.most { // what is left may be without end
			return answer{}, rules{most: s.most}.tooMany(n)
		}
	}
	named(a.backends, names)
	return a, nil
}

// add adds a backend, unless there is one at its address.
func (a *answer) add(b config.Backend) bool {
	if a.has[b.URL] {
		return false
	}
	if a.has == nil {
		a.has = map[string]bool{}
	}
	a.has[b.URL] = true
	a.backends = append(a.backends, b)
	return true
}

// target finds the addresses of a service's target, in the message that named it
// or by asking.
func (s *dnsSource) target(ctx context.Context, servers []string, m *dns.Msg, name string) (records, error) {
	r, err := glue(m, name)
	if err == nil && len(r.addresses) == 0 {
		r, _, err = s.ask(ctx, servers, name, dns.TypeA)
	}
	if err == nil && len(r.addresses) == 0 {
		was := r.ttl
		r, _, err = s.ask(ctx, servers, name, dns.TypeAAAA)
		r.ttl = min(r.ttl, was)
	}
	if v4 := slices.DeleteFunc(slices.Clone(r.addresses), func(ip netip.Addr) bool { return !ip.Is4() }); len(v4) > 0 {
		r.addresses = v4
	}
	return r, err
}

// ask puts one question to one server after the other until one answers. That a
// name does not exist is an answer without records.
func (s *dnsSource) ask(ctx context.Context, servers []string, name string, kind uint16) (r records, m *dns.Msg, err error) {
	for _, server := range servers {
		if m, err = s.exchange(ctx, server, name, kind); err == nil {
			switch m.Rcode {
			case dns.RcodeSuccess:
				r, err = read(m, name, kind)
				return r, m, err
			case dns.RcodeNameError:
				return records{}, m, isAnswer(m, name, kind)
			}
			code := rcode(m.Rcode)
			err = troubled("rcode "+code, "%s answers %s to %s %s", server, code, name, dns.TypeToString[kind])
		}
		if ctx.Err() != nil {
			break
		}
	}
	return r, m, err
}

// rcode names what a server answers in place of records; by its number, as RFC
// 3597 does with types, if it has no name.
func rcode(code int) string {
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprint("RCODE", code)
}

// exchange asks one server, over UDP, and over TCP if the answer is cut.
func (s *dnsSource) exchange(ctx context.Context, server, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, kind).SetEdns0(maxUDP, false)
	m, err := s.over(ctx, "udp", server, q)
	if err == nil && m.Truncated {
		m, err = s.over(ctx, "tcp", server, q)
	}
	return m, err
}

func (s *dnsSource) over(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.Timeout)
	defer cancel()
	client := dns.Client{Net: network, Timeout: s.c.Timeout}
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	// The library heeds a deadline, but not a cancelled context.
	release := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if release() {
			_ = conn.Close()
		}
	}()
	m, _, err := client.ExchangeWithConnContext(ctx, q, conn)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		err = &exchangeError{server, err}
	}
	return m, err
}

// exchangeError names the server that did not answer.
type exchangeError struct {
	server string
	error
}

func (e *exchangeError) Error() string { return e.server + ": " + e.error.Error() }
func (e *exchangeError) Unwrap() error { return e.error }
