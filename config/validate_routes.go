package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// maxRetries bounds what one request or one probe may cost. A request visits
// eight backends at most, which is as many as the balancer remembers of it.
const maxRetries = 7

func (v validator) routes(c *Config) {
	if len(c.Routes) == 0 {
		v.check("routes", `there are none, write at least one, such as {path: /, pool: NAME}`)
	}
	names := map[string]string{}
	taken := map[string]string{}
	for i, r := range c.Routes {
		path := joinIndex("routes", i)
		v.name(path+".name", r.Name)
		// A name that nobody wrote comes from host and path: where those are
		// taken, the name need not be told as well.
		if v.hosts(path, r, taken) || v.given[path+".name"] {
			v.unique(names, "name", r.Name, path, path+".name")
		}
		v.httpPath(path+".path", r.Path)
		v.stripPrefix(path+".strip_prefix", r)
		v.guard(path, r)
		v.routeKind(path, r, c.Pools)
		if r.Rewrite != nil {
			v.rewrite(path+".rewrite", *r.Rewrite)
		}
		v.headers(path+".headers.request", r.Headers.Request, toBackend)
		v.headers(path+".headers.response", r.Headers.Response, toClient)
		v.positive(path+".timeouts.connect", r.Timeouts.Connect)
		v.positive(path+".timeouts.response", r.Timeouts.Response)
		v.positive(path+".timeouts.body", r.Timeouts.Body)
		if r.Timeouts.Idle < 0 {
			v.check(path+".timeouts.idle", "%s is negative, write 0 for no limit, or a time such as 10m", r.Timeouts.Idle)
		}
		v.between(path+".retries", r.Retries, 0, maxRetries)
		v.webSocket(path+".websocket", r.WebSocket)
	}
}

// hosts checks a route's hosts, and that no other route answers for one of
// them at the same path. It is false when one does. The keys of taken are host
// and path.
func (v validator) hosts(path string, r Route, taken map[string]string) bool {
	free := true
	for j, host := range r.Hosts {
		hostPath := joinIndex(path+".hosts", j)
		if err := checkHost(host); err != nil {
			v.check(hostPath, "%v", err)
			continue
		}
		if slices.Contains(r.Hosts[:j], host) {
			v.check(hostPath, "%q is listed twice, keep one", host)
			continue
		}
		if first, ok := taken[host+r.Path]; ok {
			v.check(hostPath, "host %q with path %q belongs to %s already, change one of them", host, r.Path, first)
			free = false
			continue
		}
		taken[host+r.Path] = path
	}
	if len(r.Hosts) > 0 || v.hasFailed(path+".hosts") {
		return free
	}
	if first, ok := taken[r.Path]; ok {
		v.check(path+".path", "any host with path %q belongs to %s already, change the path or list hosts", r.Path, first)
		return false
	}
	taken[r.Path] = path
	return free
}

// checkHost checks a pattern: a host name, an IP address as it stands in a
// Host header, or *. before a host name.
func checkHost(host string) error {
	if host == "*" || host == "" {
		return fmt.Errorf("%q is no host, leave hosts out to take any", host)
	}
	if strings.Contains(host, "://") || strings.Contains(host, "/") {
		return fmt.Errorf("%q is a URL or a path, write the host name alone and the path under path", host)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if ip, err := netip.ParseAddr(strings.TrimSuffix(inner, "]")); err == nil && ip.Is6() && strings.HasSuffix(host, "]") {
			return nil
		}
		return fmt.Errorf("%q is not an IPv6 address in brackets, write it as [2001:db8::1]", host)
	}
	if strings.Contains(host, ":") {
		return fmt.Errorf("%q has a port or is an IPv6 address, leave the port out, put IPv6 in brackets", host)
	}
	name, wildcard := strings.CutPrefix(host, "*.")
	if strings.Contains(name, "*") {
		return fmt.Errorf("%q has a star in another place than the first label, write it as *.example.com", host)
	}
	if wildcard && !isHostname(name) || !wildcard && !isHostname(host) {
		return fmt.Errorf("%q is not a host name, write it as game.example.com, *.example.com or, beyond ASCII, in punycode", host)
	}
	return nil
}

// stripPrefix checks that what is cut off is a whole number of path segments
// that every request of the route begins with.
func (v validator) stripPrefix(path string, r Route) {
	prefix := r.StripPrefix
	if prefix == "" || prefix == r.Path || strings.HasPrefix(r.Path, prefix+"/") {
		return
	}
	v.check(path, "%q is not the beginning of path %q, write whole segments of it", prefix, r.Path)
}

func (v validator) routePool(path, pool string, pools map[string]Pool) {
	if _, ok := pools[pool]; ok || v.hasFailed("pools") {
		return
	}
	known := slices.Sorted(maps.Keys(pools))
	near, ok := spelling.Nearest(pool, known)
	switch {
	case pool == "":
		v.check(path, "is missing, write the name of a pool, or redirect or respond in its place")
	case ok:
		v.check(path, "there is no pool %q, did you mean %q?", pool, near)
	case len(known) == 0:
		v.check(path, "there is no pool %q, add it under pools", pool)
	default:
		v.check(path, "there is no pool %q, add it or use one of %s", pool, strings.Join(known, ", "))
	}
}
