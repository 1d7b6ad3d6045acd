package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Origin is a pattern for the Origin of a browser's request (RFC 6454): one
// origin, or those of all names below a domain.
type Origin struct {
	Scheme string
	// Host is a name or address as it stands in a URL, in lower case, its port
	// included unless it is the scheme's own.
	Host string
	// Below: Host and what follows a dot before it, as *.example.com has it;
	// the origin of Host itself is not meant.
	Below bool
}

// ParseOrigin reads scheme://host, scheme://host:port, either with *. before
// the host.
func ParseOrigin(text string) (Origin, error) {
	scheme, host, ok := strings.Cut(text, "://")
	switch {
	case text == "*":
		return Origin{}, fmt.Errorf("%q is no origin, leave origins out to take any", text)
	case text == "null":
		return Origin{}, fmt.Errorf("%q is what any page can send from a sandboxed frame, list the origins that are meant", text)
	case !ok:
		return Origin{}, fmt.Errorf("%q has no scheme, write it as https://%s", text, text)
	case strings.ContainsAny(host, "/?#@"):
		return Origin{}, fmt.Errorf("%q has more than scheme, host and port, write it as https://game.example.com", text)
	}
	bad := fmt.Errorf("%q is no origin, write it as https://game.example.com, https://game.example.com:8443 or https://*.example.com", text)
	o := Origin{Scheme: strings.ToLower(scheme)}
	host, o.Below = strings.CutPrefix(host, "*.")
	u, err := url.Parse(o.Scheme + "://" + host)
	if err != nil || u.Hostname() == "" {
		return Origin{}, bad
	}
	name, port := strings.ToLower(u.Hostname()), u.Port()
	if ip, err := netip.ParseAddr(name); err != nil && !isHostname(name) || err == nil && (o.Below || ip.Zone() != "") {
		return Origin{}, bad
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) {
		return Origin{}, bad
	}
	// A browser leaves its scheme's own port out.
	if port == "" || o.Scheme == "https" && port == "443" || o.Scheme == "http" && port == "80" {
		o.Host = name
		if strings.Contains(name, ":") {
			o.Host = "[" + name + "]"
		}
	} else {
		o.Host = net.JoinHostPort(name, port)
	}
	return o, nil
}
