package testkit

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// DNS is a DNS server for one test, over UDP and TCP. It answers from records
// that may be changed at any time, or as its Answer says. Its methods may be
// called from any goroutine.
type DNS struct {
	Addr string // host:port

	mu      sync.Mutex
	records []dns.RR                               // guarded by mu
	answer  func(w dns.ResponseWriter, q *dns.Msg) // guarded by mu; nil: from records
	asked   atomic.Int64
}

// StartDNS starts a server without records: every name is unknown. The test's end
// stops it.
func StartDNS(t testing.TB, records ...string) *DNS {
	t.Helper()
	d := &DNS{}
	d.Set(t, records...)
	var udp net.PacketConn
	var tcp net.Listener
	for range 20 { // until a port is free for both
		var err error
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatalf("start DNS server: %v", err)
		}
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			break
		}
		_ = tcp.Close()
	}
	if udp == nil {
		t.Fatal("start DNS server: no port is free for UDP and TCP")
	}
	d.Addr = tcp.Addr().String()
	var serving sync.WaitGroup
	servers := []*dns.Server{{PacketConn: udp, Handler: d}, {Listener: tcp, Handler: d}}
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		serving.Go(func() { _ = s.ActivateAndServe() })
		<-started
	}
	t.Cleanup(func() {
		for _, s := range servers {
			_ = s.Shutdown()
		}
		serving.Wait()
	})
	return d
}

// Set replaces all records by these, in the form of a zone file.
func (d *DNS) Set(t testing.TB, records ...string) {
	t.Helper()
	var all []dns.RR
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatalf("record %q: %v", text, err)
		}
		all = append(all, rr)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records, d.answer = all, nil
}

// Answer has f answer in place of the records; one that does not write leaves the
// question unanswered. Nil: the records answer again.
func (d *DNS) Answer(f func(w dns.ResponseWriter, q *dns.Msg)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = f
}

// Asked is how many questions have come.
func (d *DNS) Asked() int { return int(d.asked.Load()) }

// ServeDNS implements [dns.Handler].
func (d *DNS) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	d.asked.Add(1)
	d.mu.Lock()
	answer, records := d.answer, d.records
	d.mu.Unlock()
	if answer != nil {
		answer(w, q)
		return
	}
	m := new(dns.Msg).SetReply(q)
	name, known := q.Question[0].Name, false
	for range len(records) + 1 { // an alias leads on
		alias := ""
		for _, rr := range records {
			if !dns.IsSubDomain(rr.Header().Name, name) || !dns.IsSubDomain(name, rr.Header().Name) {
				continue
			}
			known = true
			switch c, isAlias := rr.(*dns.CNAME); {
			case rr.Header().Rrtype == q.Question[0].Qtype:
				m.Answer = append(m.Answer, rr)
			case isAlias:
				m.Answer = append(m.Answer, rr)
				alias = c.Target
			}
		}
		if name = alias; alias == "" {
			break
		}
	}
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	if _, tcp := w.RemoteAddr().(*net.TCPAddr); !tcp {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m)
}
