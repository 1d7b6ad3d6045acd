package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Target is where the backend's URL points: the scheme, "http" for ws too and
// "https" for wss, and host:port with the scheme's own port when the URL has
// none. Both are empty when the URL is not valid, which [Load] does not let
// through.
func (b Backend) Target() (scheme, address string) {
	scheme, address, err := parseTarget(b.URL)
	if err != nil {
		return "", ""
	}
	return scheme, address
}

// parseTarget takes a backend's URL apart. Its errors do not repeat a URL that
// might hold a password.
func parseTarget(text string) (scheme, address string, err error) {
	if text == "" {
		return "", "", errors.New("is missing, write it as http://host:port")
	}
	written, rest, found := strings.Cut(text, "://")
	if !found {
		written, rest = "", text
	}
	if strings.Contains(rest, "@") {
		return "", "", errors.New("holds a user name or password, write http://host:port and let clients send their own Authorization")
	}
	defaultPort := "80"
	switch strings.ToLower(written) {
	case "http", "ws":
		scheme = "http"
	case "https", "wss":
		scheme, defaultPort = "https", "443"
	case "":
		return "", "", fmt.Errorf("%q has no scheme, write http://%s", text, strings.TrimPrefix(text, "//"))
	default:
		return "", "", fmt.Errorf("scheme %q is not supported, use one of http, https, ws, wss", strings.ToLower(written))
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", "", fmt.Errorf("%q is not a URL, write it as http://host:port", text)
	}
	origin := scheme + "://" + u.Host
	switch {
	case u.Path != "" && u.Path != "/":
		return "", "", fmt.Errorf("path %q is not taken from a backend's URL, write %s and use strip_prefix of the route to change paths", u.Path, origin)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", "", fmt.Errorf("%q has a query or fragment, write %s", text, origin)
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if host == "" {
		return "", "", fmt.Errorf("%q names no host, write it as http://host:port", text)
	}
	if _, err := netip.ParseAddr(host); err != nil && !isHostname(host) {
		return "", "", fmt.Errorf("%q is neither an IP address nor a host name, write it as http://host:port", host)
	}
	if port == "" {
		port = defaultPort
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", "", fmt.Errorf("port %q is not a number from 1 to 65535, write it as in %s://%s:9000", port, scheme, host)
	}
	return scheme, net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}
