package proxy

import (
	"bytes"
	"fmt"
	"strings"
)

// router finds the route of a request. It is immutable once filled.
//
// Hosts come first: the exact name, then the longest wildcard that covers it,
// then routes for any host. Within each the longest path prefix wins. If none
// of a host's paths matches, the less exact hosts are tried, so a route of one
// host need not repeat what holds for all of them.
//
// A prefix covers whole segments: "/ws" matches /ws and everything below
// /ws/, never /wsx; "/ws/" matches only what lies below it. Paths are compared
// as they were sent, neither decoded nor cleaned: what a backend sees is what
// was routed. That it may understand it otherwise is seen to elsewhere; see
// exchange.surely.
//
// A lookup takes time in the depth of the path and the labels of the host,
// whatever the number of routes, and allocates nothing.
type router struct {
	exact    map[string]*pathNode
	wildcard map[string]*pathNode // by what follows "*."
	any      *pathNode
}

// pathNode is one segment in the tree of prefixes.
type pathNode struct {
	here     *route // prefix without a slash at its end
	below    *route // prefix with one
	children map[string]*pathNode
}

// add files a route under each of its hosts.
func (r *router) add(rt *route, hosts []string, path string) error {
	if len(hosts) == 0 {
		if r.any == nil {
			r.any = &pathNode{}
		}
		return r.any.add(rt, path, "any host")
	}
	for _, h := range hosts {
		name := strings.TrimSuffix(strings.ToLower(h), ".")
		table := &r.exact
		if suffix, ok := strings.CutPrefix(name, "*."); ok {
			table, name = &r.wildcard, suffix
		}
		if *table == nil {
			*table = make(map[string]*pathNode)
		}
		node := (*table)[name]
		if node == nil {
			node = &pathNode{}
			(*table)[name] = node
		}
		if err := node.add(rt, path, h); err != nil {
			return err
		}
	}
	return nil
}

func (n *pathNode) add(rt *route, path, host string) error {
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("add route %q: path %q does not begin with a slash", rt.name, path)
	}
	segments := strings.Split(path[1:], "/")
	last := len(segments) - 1
	for i, s := range segments {
		if i == last && s == "" {
			break // a slash at the end
		}
		if n.children == nil {
			n.children = make(map[string]*pathNode)
		}
		child := n.children[s]
		if child == nil {
			child = &pathNode{}
			n.children[s] = child
		}
		n = child
	}
	slot := &n.here
	if segments[last] == "" {
		slot = &n.below
	}
	if *slot != nil {
		return fmt.Errorf("add route %q: route %q has the same path %q for %s; change one of them", rt.name, (*slot).name, path, host)
	}
	*slot = rt
	return nil
}

// find returns the route for a Host value, which may have a port, and a path
// without its query; nil if there is none.
func (r *router) find(host, path []byte) *route {
	if len(r.exact) > 0 || len(r.wildcard) > 0 {
		var lower [256]byte
		name := hostName(lower[:0], host)
		if n := r.exact[string(name)]; n != nil {
			if found := n.find(path); found != nil {
				return found
			}
		}
		if found := r.findWildcard(name, path); found != nil {
			return found
		}
	}
	if r.any == nil {
		return nil
	}
	return r.any.find(path)
}

// findWildcard tries the suffixes of name behind each of its dots, the longest
// first.
func (r *router) findWildcard(name, path []byte) *route {
	if len(r.wildcard) == 0 {
		return nil
	}
	for {
		dot := bytes.IndexByte(name, '.')
		if dot < 0 {
			return nil
		}
		name = name[dot+1:]
		if n := r.wildcard[string(name)]; n != nil {
			if found := n.find(path); found != nil {
				return found
			}
		}
	}
}

func (n *pathNode) find(path []byte) *route {
	if len(path) == 0 || path[0] != '/' {
		path = rootPath // "*", or nothing
	}
	best := n.below // "/", the only prefix of the root
	rest := path[1:]
	for n.children != nil {
		segment := rest
		slash := bytes.IndexByte(rest, '/')
		if slash >= 0 {
			segment, rest = rest[:slash], rest[slash+1:]
		}
		n = n.children[string(segment)]
		if n == nil {
			break
		}
		if n.here != nil {
			best = n.here
		}
		if slash < 0 {
			break
		}
		if n.below != nil {
			best = n.below
		}
	}
	return best
}

var rootPath = []byte("/")

// hostName returns host in lower case without port and final dot, in the
// memory of host or, if it must be changed, of buf. A name that is longer than
// a DNS name can be matches nothing.
func hostName(buf, host []byte) []byte {
	if len(host) > 0 && host[0] == '[' {
		if end := bytes.IndexByte(host, ']'); end > 0 {
			return host[:end+1] // an IPv6 address
		}
	}
	if colon := bytes.IndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	host = bytes.TrimSuffix(host, []byte("."))
	if len(host) > cap(buf) {
		return nil
	}
	for i, c := range host {
		if 'A' <= c && c <= 'Z' {
			buf = append(buf, host...)
			for ; i < len(buf); i++ {
				if c := buf[i]; 'A' <= c && c <= 'Z' {
					buf[i] = c | 0x20
				}
			}
			return buf
		}
	}
	return host
}
