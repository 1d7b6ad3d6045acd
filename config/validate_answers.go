package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// routeKind checks that a route has exactly one of pool, redirect and respond,
// and that one.
func (v validator) routeKind(path string, r Route, pools map[string]Pool) {
	var kinds []string
	if r.Pool != "" {
		kinds = append(kinds, "pool")
	}
	if r.Redirect != nil {
		kinds = append(kinds, "redirect")
		v.redirect(path+".redirect", *r.Redirect)
	}
	if r.Respond != nil {
		kinds = append(kinds, "respond")
		v.respond(path+".respond", *r.Respond)
	}
	if r.Pool != "" || len(kinds) == 0 {
		v.routePool(path+".pool", r.Pool, pools)
	}
	if len(kinds) > 1 {
		v.check(path+"."+kinds[1], "stands beside %s, keep one of pool, redirect and respond", kinds[0])
		return
	}
	if r.Redirect != nil || r.Respond != nil {
		v.idle(path, kinds[0], r)
	}
}

// idle warns of keys that are for backends, on a route that has none.
func (v validator) idle(path, kind string, r Route) {
	keys := []string{"preserve_host", "rewrite_redirects", "forwarded", "timeouts", "retries", "websocket", "headers.request"}
	if r.Respond != nil {
		keys = append(keys, "strip_prefix", "rewrite")
	}
	for _, key := range keys {
		if v.given[path+"."+key] {
			v.warn(path+"."+key, "has no effect beside %s, remove it", kind)
		}
	}
}

func (v validator) redirect(path string, r Redirect) {
	if !slices.Contains([]int{301, 302, 303, 307, 308}, r.Status) {
		v.check(path+".status", "%d is not a redirection to another address, use one of 301, 302, 303, 307, 308", r.Status)
	}
	if err := checkRedirectTarget(r.To); err != nil {
		v.check(path+".to", "%v", err)
	}
}

// checkRedirectTarget makes sure that a client cannot choose where it is sent:
// what it asked for stands only where it can be nothing but a host, a path or
// a query.
func checkRedirectTarget(to string) error {
	const forms = "write a URL such as https://$host$path?$query, or a path such as /new"
	if to == "" {
		return fmt.Errorf("is missing, %s", forms)
	}
	if strings.ContainsFunc(to, notInURL) {
		return fmt.Errorf("%q has a space or a character beyond ASCII, percent-encode it", to)
	}
	t, err := ParseTemplate(to, RedirectVariables)
	if err != nil {
		return err
	}
	switch first := t[0].Text; {
	case first == "https://" || first == "http://":
		if len(t) == 1 || t[1].Variable != "host" {
			return fmt.Errorf("%q has no host, %s", to, forms)
		}
	case strings.HasPrefix(first, "https:///"), strings.HasPrefix(first, "http:///"):
		return fmt.Errorf("%q has no host, %s", to, forms)
	case strings.HasPrefix(first, "https://"), strings.HasPrefix(first, "http://"):
	case first == "/" && len(t) > 1, strings.HasPrefix(first, "//"), strings.HasPrefix(first, `/\`):
		return fmt.Errorf("%q can lead to a host that the client names, %s", to, forms)
	case strings.HasPrefix(first, "/"):
	default:
		return fmt.Errorf("%q is neither a URL nor a path, %s", to, forms)
	}
	before := ""
	for _, part := range t {
		if part.Variable == "query" && !strings.Contains(before, "?") {
			return fmt.Errorf("%q has $query before any question mark, write ?$query", to)
		}
		before += part.Text
	}
	return nil
}

// notInURL tells what must be percent-encoded wherever it stands in a URL.
func notInURL(r rune) bool { return r <= ' ' || r >= 0x7f }

func (v validator) respond(path string, r Respond) {
	v.between(path+".status", r.Status, 200, 599)
	if (r.Status == 204 || r.Status == 304) && r.Body != "" {
		v.check(path+".body", "cannot be sent with status %d, leave it out or use another status", r.Status)
	}
}

func (v validator) rewrite(path string, r Rewrite) {
	if strings.ContainsFunc(r.Replacement, func(c rune) bool { return notInURL(c) || c == '#' }) {
		v.check(path+".replacement", "%q has a space, a fragment or a character beyond ASCII, percent-encode it", r.Replacement)
	}
	if r.Pattern == "" {
		v.check(path+".pattern", `is missing, write a regular expression such as ^/old/(.*)$`)
		return
	}
	pattern, err := regexp.Compile(r.Pattern)
	if err != nil {
		v.check(path+".pattern", "%q is not a regular expression in RE2 syntax: %v, mend it or see https://golang.org/s/re2syntax", r.Pattern, err)
		return
	}
	if err := checkGroups(pattern, r.Replacement); err != nil {
		v.check(path+".replacement", "%v", err)
	}
}

// groupReference finds $1, $name and ${name} as regexp's Expand reads them,
// and $$.
var groupReference = regexp.MustCompile(`\$(\$|\w+|\{\w+\}|)`)

// checkGroups finds references that stand for nothing: Expand would take $1x
// for a group of that name and write nothing in its place.
func checkGroups(pattern *regexp.Regexp, replacement string) error {
	for _, found := range groupReference.FindAllStringSubmatch(replacement, -1) {
		name := strings.Trim(found[1], "{}")
		switch n, err := strconv.Atoi(name); {
		case name == "$":
		case name == "":
			return fmt.Errorf("%q has a $ without a group behind it, write $$ for a dollar sign", replacement)
		case err == nil && n <= pattern.NumSubexp():
		case err != nil && slices.Contains(pattern.SubexpNames(), name):
		default:
			return fmt.Errorf("%q refers to group %q, which the pattern has not, write ${1} where letters or digits follow", replacement, name)
		}
	}
	return nil
}
