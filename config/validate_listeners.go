package config

import (
	"strings"
	"time"
)

// listeners checks the listeners and the admin address, which must not want
// the same sockets.
func (v validator) listeners(c *Config) {
	if len(c.Listeners) == 0 {
		v.check("listeners", `there are none, write at least one, such as {name: web, address: ":8080"}`)
	}
	type bound struct {
		listenAddress
		owner, text string
	}
	var taken []bound
	bind := func(owner, path, text string) {
		address, err := parseListenAddress(text)
		if err != nil {
			v.check(path, "%v", err)
			return
		}
		for _, other := range taken {
			if address.overlaps(other.listenAddress) {
				v.check(path, "%q overlaps %q of %s, give each a port or an IP address of its own", text, other.text, other.owner)
				return
			}
		}
		taken = append(taken, bound{address, owner, text})
	}

	names := map[string]string{}
	for i, l := range c.Listeners {
		path := joinIndex("listeners", i)
		v.name(path+".name", l.Name)
		v.unique(names, "name", l.Name, path, path+".name")
		bind(path, path+".address", l.Address)
		for j, text := range l.TrustedProxies {
			if _, err := ParsePrefix(text); err != nil {
				v.check(joinIndex(path+".trusted_proxies", j), "%v", err)
			}
		}
		v.deferAccept(path+".defer_accept", l)
		v.proxyProtocol(path+".proxy_protocol", l)
		v.between(path+".redirect_https", l.RedirectHTTPS, 0, 65535)
		if l.TLS != nil {
			v.tls(path+".tls", l.TLS)
		}
		v.limits(path+".limits", l.Limits)
		v.positive(path+".timeouts.header", l.Timeouts.Header)
		v.positive(path+".timeouts.body", l.Timeouts.Body)
		v.positive(path+".timeouts.idle", l.Timeouts.Idle)
	}
	if c.Admin.Address != "" {
		bind("admin", "admin.address", c.Admin.Address)
		v.admin(c.Admin)
	}
}

// maxDeferAccept is long for a client that says nothing to stay unseen.
const maxDeferAccept = time.Minute

// deferAccept checks how long a listener's connections may be the kernel's own,
// which counts that in seconds.
func (v validator) deferAccept(path string, l Listener) {
	switch d := l.DeferAccept; {
	case d == 0:
	case d < time.Second || d > maxDeferAccept:
		v.check(path, "%v is out of range, write 1s to %v, or 0s to accept at once", d, maxDeferAccept)
	case strings.HasPrefix(l.Address, unixPrefix):
		v.check(path, "a Unix socket has nothing of the kind, leave it away")
	}
}

// proxyProtocol checks the sources that must announce their clients. A listener
// has clients of one kind only.
func (v validator) proxyProtocol(path string, l Listener) {
	unix := strings.HasPrefix(l.Address, unixPrefix)
	for i, text := range l.ProxyProtocol {
		here := joinIndex(path, i)
		if text == UnixClients {
			if !unix {
				v.check(here, "%q stands for the clients of a Unix socket, write networks such as 10.0.0.0/8", text)
			}
			continue
		}
		if _, err := ParsePrefix(text); err != nil {
			v.check(here, "%v", err)
		} else if unix {
			v.check(here, "%q is no client of a Unix socket, write [%s]", text, UnixClients)
		}
	}
}

// The bounds of max_header_bytes: below, browsers' cookies do not fit; above,
// each connection would hold a buffer worth an attack.
const (
	minHeaderBytes Bytes = 1 << 10
	maxHeaderBytes Bytes = 16 << 20
)

func (v validator) limits(path string, l Limits) {
	v.notNegative(path+".max_connections", l.MaxConnections)
	v.notNegative(path+".max_connections_per_ip", l.MaxConnectionsPerIP)
	v.notNegative(path+".handshakes_per_second_per_ip", l.HandshakesPerSecondPerIP)
	v.notNegative(path+".max_requests_per_connection", l.MaxRequestsPerConnection)
	if l.MaxHeaderBytes < minHeaderBytes || l.MaxHeaderBytes > maxHeaderBytes {
		v.check(path+".max_header_bytes", "%s is out of range, write %s to %s", l.MaxHeaderBytes, minHeaderBytes, maxHeaderBytes)
	}
	if l.MaxBodyBytes < 0 {
		v.check(path+".max_body_bytes", "%d is negative, write 0 for no limit, or a size such as 1MiB", l.MaxBodyBytes)
	}
}

// minToken is how short a token may be: 16 bytes cannot be tried out over a
// network.
const minToken = 16

// admin keeps an admin listener that asks for no token on this machine.
func (v validator) admin(a Admin) {
	address, err := parseListenAddress(a.Address)
	switch {
	case err != nil: // reported where it was bound
	case address.unix != "":
		v.check("admin.address", "%q is a Unix socket, write host:port such as 127.0.0.1:9090", a.Address)
	case a.Token == "" && !address.ip.IsLoopback():
		v.check("admin.address", "%q can be reached from other machines: set admin.token, or use a loopback address such as 127.0.0.1:9090", a.Address)
	}
	switch {
	case a.Token == "":
	case len(a.Token) < minToken:
		v.check("admin.token", "has %d bytes, use %d or more, such as the output of: openssl rand -hex 32", len(a.Token), minToken)
	case strings.ContainsFunc(string(a.Token), func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		v.check("admin.token", "has a space or a character that a header cannot carry, use letters, digits and -._~+/=")
	}
}
