package config

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
		v.between(path+".redirect_https", l.RedirectHTTPS, 0, 65535)
		v.limits(path+".limits", l.Limits)
		v.positive(path+".timeouts.header", l.Timeouts.Header)
		v.positive(path+".timeouts.body", l.Timeouts.Body)
		v.positive(path+".timeouts.idle", l.Timeouts.Idle)
	}
	if c.Admin.Address != "" {
		bind("admin", "admin.address", c.Admin.Address)
		v.loopback("admin.address", c.Admin.Address)
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
	if l.MaxHeaderBytes < minHeaderBytes || l.MaxHeaderBytes > maxHeaderBytes {
		v.check(path+".max_header_bytes", "%s is out of range, write %s to %s", l.MaxHeaderBytes, minHeaderBytes, maxHeaderBytes)
	}
	if l.MaxBodyBytes < 0 {
		v.check(path+".max_body_bytes", "%d is negative, write 0 for no limit, or a size such as 1MiB", l.MaxBodyBytes)
	}
}

// loopback keeps the admin listener, which asks nobody for a password, on this
// machine.
func (v validator) loopback(path, text string) {
	address, err := parseListenAddress(text)
	switch {
	case err != nil:
		return // reported where it was bound
	case address.unix != "":
		v.check(path, "%q is a Unix socket, write host:port such as 127.0.0.1:9090", text)
	case !address.ip.IsLoopback():
		v.check(path, "%q can be reached from other machines and a token is not supported yet, use a loopback address such as 127.0.0.1:9090", text)
	}
}
