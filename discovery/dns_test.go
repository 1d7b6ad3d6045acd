package discovery

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// asks is a valid configuration that asks d.
func asks(d *testkit.DNS, kind, name string) config.DNSDiscovery {
	c := config.DNSDiscovery{Name: name, Type: kind, Scheme: "http", Server: d.Addr, MinTTL: time.Second, Timeout: 5 * time.Second}
	if kind == "a" {
		c.Port = 9000
	}
	return c
}

// told is a source's answer or trouble in words: names and URLs, and the time
// that they are good for.
func told(t *testing.T, s source) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a, err := s.fetch(ctx)
	if err != nil {
		return "trouble: " + troubleOf(err).kind
	}
	var list []string
	for _, b := range a.backends {
		text := b.Name + "=" + b.URL
		if b.Weight != 1 {
			text += fmt.Sprintf("*%d", b.Weight)
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return strings.Join(append(list, a.good.String()), " ")
}

func TestDNSAnswers(t *testing.T) {
	t.Parallel()
	f := func(kind, name, want string, records ...string) {
		t.Helper()
		d := testkit.StartDNS(t, records...)
		if got := told(t, newDNSSource(asks(d, kind, name), 100)); got != want {
			t.Errorf("%s %s of %q:\n got %s\nwant %s", kind, name, records, got, want)
		}
	}
	f("a", "arena.test", "10.0.0.1:9000=http://10.0.0.1:9000 10.0.0.2:9000=http://10.0.0.2:9000 [fd00::1]:9000=http://[fd00::1]:9000 20s",
		"arena.test. 30 IN A 10.0.0.1", "Arena.Test. 20 IN A 10.0.0.2", "arena.test. 60 IN AAAA fd00::1", "other.test. 5 IN A 10.0.0.9")
	f("a", "arena.test.", "10.0.0.1:9000=http://10.0.0.1:9000 7s",
		"arena.test. 60 IN CNAME b.test.", "b.test. 7 IN CNAME c.test.", "c.test. 60 IN A 10.0.0.1")
	f("a", "arena.test", "10.0.0.1:9000=http://10.0.0.1:9000 1s", "arena.test. 0 IN A 10.0.0.1")              // the floor
	f("a", "arena.test", "10.0.0.1:9000=http://10.0.0.1:9000 1h0m0s", "arena.test. 2000000000 IN A 10.0.0.1") // and the ceiling
	f("a", "arena.test", "10.0.0.1:9000=http://10.0.0.1:9000 30s", "arena.test. 30 IN A 10.0.0.1", "arena.test. 30 IN AAAA ::ffff:10.0.0.1")
	f("a", "arena.test", "1s")
	f("a", "arena.test", "1s", "arena.test. 30 IN TXT \"nobody\"")
	f("a", "arena.test", "1s", "arena.test. 30 IN CNAME b.test.", "b.test. 30 IN CNAME arena.test.")
	for _, ip := range []string{"A 0.0.0.0", "A 224.0.0.1", "A 255.255.255.255", "AAAA ::", "AAAA ff02::1"} {
		f("a", "arena.test", "trouble: nonsense", "arena.test. 30 IN "+ip)
	}

	service := "_game._tcp.arena.test. 30 IN SRV "
	f("srv", "_game._tcp.arena.test", "arena-0=http://10.0.0.1:9001*33 arena-1=http://10.0.0.2:9002*33 elsewhere.test=http://10.0.0.3:9003 10s",
		service+"0 33 9001 arena-0.arena.test.", service+"0 33 9002 arena-1.arena.test.", service+"0 0 9003 elsewhere.test.",
		service+"1 33 9004 backup.test.", service+"0 33 0 arena-0.arena.test.",
		"arena-0.arena.test. 30 IN A 10.0.0.1", "arena-0.arena.test. 30 IN AAAA fd00::1", "arena-1.arena.test. 10 IN A 10.0.0.2",
		"elsewhere.test. 60 IN A 10.0.0.3", "backup.test. 1 IN A 10.0.0.4")
	f("srv", "_game._tcp.arena.test", "arena-0=http://[fd00::1]:9001 30s", service+"0 1 9001 arena-0.arena.test.", "arena-0.arena.test. 30 IN AAAA fd00::1")
	f("srv", "_game._tcp.arena.test", "arena-0@10.0.0.1:9001=http://10.0.0.1:9001 arena-0@10.0.0.1:9002=http://10.0.0.1:9002 30s",
		service+"0 1 9001 arena-0.arena.test.", service+"0 1 9002 arena-0.arena.test.", "arena-0.arena.test. 30 IN A 10.0.0.1")
	// A target that is not there yet is left out, and asked for soon.
	f("srv", "_game._tcp.arena.test", "arena-0=http://10.0.0.1:9001 1s", service+"0 1 9001 arena-0.arena.test.", service+"0 1 9005 unknown.arena.test.",
		"arena-0.arena.test. 30 IN A 10.0.0.1")
	f("srv", "_game._tcp.arena.test", "1s", service+"0 1 9001 .")
	f("srv", "_game._tcp.arena.test", "1s")
}

// Addresses that come with the services are not asked for again.
func TestDNSGlue(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t)
	d.Answer(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for i, text := range []string{"_g._tcp.arena.test. 30 IN SRV 0 1 9000 a.arena.test.", "A.arena.test. 20 IN A 10.0.0.1", "b.arena.test. 1 IN A 10.0.0.2"} {
			rr, err := dns.NewRR(text)
			if err != nil {
				t.Error(err)
			}
			if i == 0 {
				m.Answer = append(m.Answer, rr)
			} else {
				m.Extra = append(m.Extra, rr)
			}
		}
		_ = w.WriteMsg(m)
	})
	if got := told(t, newDNSSource(asks(d, "srv", "_g._tcp.arena.test"), 10)); got != "a=http://10.0.0.1:9000 20s" || d.Asked() != 1 {
		t.Errorf("%s, after %d questions", got, d.Asked())
	}
}

// An answer too long for UDP comes over TCP; one with more backends than are
// allowed is not followed up.
func TestDNSLongAnswers(t *testing.T) {
	t.Parallel()
	var records []string
	for i := range 200 {
		records = append(records, fmt.Sprintf("arena.test. 30 IN A 10.0.1.%d", i))
	}
	d := testkit.StartDNS(t, records...)
	a, err := newDNSSource(asks(d, "a", "arena.test"), 100).fetch(t.Context())
	if err != nil || len(a.backends) != 200 {
		t.Errorf("%d backends, %v", len(a.backends), err)
	}
	if err := (rules{most: 100}).judge(a.backends); err == nil || troubleOf(err).kind != "too many" {
		t.Errorf("200 of 100 backends: %v", err)
	}

	for i := range records {
		records[i] = fmt.Sprintf("_g._tcp.arena.test. 30 IN SRV 0 1 9000 n%d.arena.test.", i)
	}
	d.Set(t, records...)
	before := d.Asked()
	if got := told(t, newDNSSource(asks(d, "srv", "_g._tcp.arena.test"), 100)); got != "trouble: too many" {
		t.Errorf("200 services: %s", got)
	}
	if n := d.Asked() - before; n != 2 { // UDP and TCP
		t.Errorf("%d questions", n)
	}

	// Few services may have many addresses.
	records = records[:0]
	for i := range 6 {
		records = append(records, fmt.Sprintf("n%d.arena.test. 30 IN A 10.0.1.%d", i%2, i))
	}
	d.Set(t, append(records, "_g._tcp.arena.test. 30 IN SRV 0 1 9000 n0.arena.test.", "_g._tcp.arena.test. 30 IN SRV 0 1 9000 n1.arena.test.")...)
	if got := told(t, newDNSSource(asks(d, "srv", "_g._tcp.arena.test"), 6)); strings.Count(got, "10.0.1.") != 12 { // in name and URL
		t.Errorf("6 addresses of 2 services, 6 are allowed: %s", got)
	}
	if got := told(t, newDNSSource(asks(d, "srv", "_g._tcp.arena.test"), 5)); got != "trouble: too many" {
		t.Errorf("6 addresses of 2 services, 5 are allowed: %s", got)
	}
}

func TestDNSTroubles(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t, "arena.test. 30 IN A 10.0.0.1")
	c := asks(d, "a", "arena.test")
	s := newDNSSource(c, 100)
	c.Timeout = 200 * time.Millisecond
	hasty := newDNSSource(c, 100)
	const good = "10.0.0.1:9000=http://10.0.0.1:9000 30s"
	f := func(what, want string, answer func(w dns.ResponseWriter, q *dns.Msg)) {
		t.Helper()
		d.Answer(answer)
		s := s
		if want == "trouble: timeout" {
			s = hasty
		}
		if got := told(t, s); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	reply := func(change func(m *dns.Msg)) func(dns.ResponseWriter, *dns.Msg) {
		return func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			rr, _ := dns.NewRR(q.Question[0].Name + " 30 IN A 10.0.0.66")
			m.Answer = append(m.Answer, rr)
			change(m)
			_ = w.WriteMsg(m)
		}
	}
	f("nothing wrong", good, nil)
	f("no answer", "trouble: timeout", func(dns.ResponseWriter, *dns.Msg) {})
	f("SERVFAIL", "trouble: rcode SERVFAIL", reply(func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }))
	f("REFUSED", "trouble: rcode REFUSED", reply(func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }))
	f("a code without a name", "trouble: rcode RCODE13", reply(func(m *dns.Msg) { m.Rcode = 13 }))
	f("another question", "trouble: nonsense", reply(func(m *dns.Msg) { m.Question[0].Name = "evil.test." }))
	f("no question", "trouble: nonsense", reply(func(m *dns.Msg) { m.Question = nil }))
	f("a question as an answer", "trouble: nonsense", reply(func(m *dns.Msg) { m.Response = false }))
	f("another name, NXDOMAIN", "trouble: nonsense", reply(func(m *dns.Msg) { m.Rcode, m.Question[0].Name = dns.RcodeNameError, "evil.test." }))
	f("records of others", "1s", reply(func(m *dns.Msg) { m.Answer[0].Header().Name = "evil.test." }))
	f("another id", "trouble: timeout", reply(func(m *dns.Msg) { m.Id++ }))
	f("garbage", "trouble: failed", func(w dns.ResponseWriter, q *dns.Msg) {
		raw, _ := new(dns.Msg).SetReply(q).Pack()
		_, _ = w.Write(append(raw[:12], 0xff, 0xff, 0xff))
	})
	// Some servers fail on AAAA for ever.
	f("no AAAA", good, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Qtype == dns.TypeAAAA {
			_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNotImplemented))
			return
		}
		m := new(dns.Msg).SetReply(q)
		rr, _ := dns.NewRR(q.Question[0].Name + " 30 IN A 10.0.0.1")
		m.Answer = append(m.Answer, rr)
		_ = w.WriteMsg(m)
	})
	// But where there was one, its loss is no answer.
	d.Set(t, "arena.test. 30 IN A 10.0.0.1", "arena.test. 30 IN AAAA fd00::1")
	if got := told(t, s); !strings.Contains(got, "fd00::1") {
		t.Errorf("with AAAA: %s", got)
	}
	f("AAAA fails", "trouble: rcode SERVFAIL", func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Qtype == dns.TypeAAAA {
			_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))
			return
		}
		m := new(dns.Msg).SetReply(q)
		rr, _ := dns.NewRR(q.Question[0].Name + " 30 IN A 10.0.0.1")
		m.Answer = append(m.Answer, rr)
		_ = w.WriteMsg(m)
	})
}

// A question that nobody waits for any more ends at once.
func TestDNSCancelled(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t)
	asked := make(chan struct{}, 10)
	d.Answer(func(dns.ResponseWriter, *dns.Msg) { asked <- struct{}{} })
	c := asks(d, "a", "arena.test")
	c.Timeout = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := newDNSSource(c, 100).fetch(ctx)
		done <- err
	}()
	<-asked
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("no error")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits on")
	}
}

// Without a server of its own, a source asks those of the system, one after the
// other, for the names that the search list gives.
func TestDNSOfTheSystem(t *testing.T) {
	t.Parallel()
	d := testkit.StartDNS(t, "arena.two.test. 30 IN A 10.0.0.1")
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	c := asks(d, "a", "arena")
	c.Server = ""
	s := newDNSSource(c, 100)
	s.system = conf
	if got := told(t, s); got != "trouble: unreadable" {
		t.Errorf("without the file: %s", got)
	}
	// resolv.conf has no ports.
	if err := os.WriteFile(conf, []byte("search one.test two.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := told(t, s); got != "trouble: unreadable" {
		t.Errorf("without a server: %s", got)
	}
	if err := os.WriteFile(conf, []byte("search one.test two.test\nnameserver 10.0.0.2\nnameserver fd00::2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	servers, names, err := s.places()
	if err != nil || !slices.Equal(servers, []string{"10.0.0.2:53", "[fd00::2]:53"}) || !slices.Equal(names, []string{"arena.one.test.", "arena.two.test.", "arena."}) {
		t.Errorf("servers %q, names %q, %v", servers, names, err)
	}
	s.name = "arena.two.test."
	if _, names, _ := s.places(); names[0] != "arena.two.test." || len(names) != 3 {
		t.Errorf("names %q, want the one that has answered first", names)
	}
	s.c.Name = "arena.two.test."
	if _, names, _ := s.places(); !slices.Equal(names, []string{"arena.two.test."}) {
		t.Errorf("names %q of one with a dot", names)
	}

	// One server is dead, the next answers.
	dead := testkit.StartDNS(t)
	dead.Answer(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))
	})
	r, _, err := s.ask(t.Context(), []string{dead.Addr, d.Addr}, "arena.two.test.", dns.TypeA)
	if err != nil || len(r.addresses) != 1 {
		t.Errorf("%v, %v", r.addresses, err)
	}
}

// Whatever a message holds, what is read of it are addresses where backends can
// be, and names that they may have.
func FuzzDNSMessage(f *testing.F) {
	add := func(name string, kind uint16, records ...string) {
		m := new(dns.Msg).SetQuestion(name, kind)
		m.Response = true
		for _, text := range records {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer = append(m.Answer, rr)
			m.Extra = append(m.Extra, rr)
		}
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	add("arena.test.", dns.TypeA, "arena.test. 30 IN CNAME b.test.", "b.test. 7 IN A 10.0.0.1")
	add("arena.test.", dns.TypeAAAA, "arena.test. 30 IN AAAA fd00::1")
	add("_g._tcp.arena.test.", dns.TypeSRV, "_g._tcp.arena.test. 30 IN SRV 0 1 9000 a.arena.test.", "a.arena.test. 5 IN A 10.0.0.1")
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(dns.Msg)
		if m.Unpack(raw) != nil || len(m.Question) == 0 {
			return
		}
		q := m.Question[0]
		r, err := read(m, q.Name, q.Qtype)
		if err != nil {
			return
		}
		if r.ttl < 0 || r.ttl > maxTTL {
			t.Errorf("good for %v", r.ttl)
		}
		c := &config.DNSDiscovery{Scheme: "http"}
		var list []config.Backend
		var names []string
		for _, ip := range r.addresses {
			list = append(list, backendAt(c, ip, 80))
			names = append(names, ip.String())
		}
		for _, s := range preferred(r.services) {
			g, err := glue(m, s.target)
			if err != nil {
				continue
			}
			for _, ip := range g.addresses {
				list = append(list, backendAt(c, ip, max(1, s.port)))
				names = append(names, shortName(s.target, q.Name))
			}
		}
		named(list, names)
		for _, b := range list {
			if _, address := b.Target(); address == "" || !config.IsName(b.Name) {
				t.Errorf("%+v", b)
			}
		}
	})
}
