package proxy

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/balancer"
)

// reverseOf is a reverse for backends at these addresses.
func reverseOf(t *testing.T, prefix string, addresses ...string) *reverse {
	t.Helper()
	pools, err := balancer.NewRegistry().Compile(configOf(addresses...).Pools)
	if err != nil {
		t.Fatal(err)
	}
	return &reverse{pool: pools.Pool("pool"), prefix: prefix}
}

// The column apache is what httpd 2.4 makes of the value with
//
//	ProxyPass        /ws/ http://10.0.0.1:9000/
//	ProxyPassReverse /ws/ http://10.0.0.1:9000/
//
// on a host https://game.example, by ap_proxy_location_reverse_map; "same"
// where Holdfast answers alike.
func TestReverseURL(t *testing.T) {
	const same = "same"
	r := reverseOf(t, "/ws", "10.0.0.1:9000", "node.internal:80")
	public := facts{scheme: "https", public: []byte("game.example:8443"), sent: []byte("game.example:8443")}
	f := func(value, want, apache string) {
		t.Helper()
		if apache == want {
			t.Errorf("%q: write same for Apache", value)
		}
		if got := string(r.appendURL(nil, []byte(value), &public)); got != want {
			t.Errorf("%q becomes %q, want %q (Apache: %s)", value, got, want, apache)
		}
	}
	f("http://10.0.0.1:9000/room/7?a#b", "https://game.example:8443/ws/room/7?a#b", same)
	f("HTTP://10.0.0.1:9000/", "https://game.example:8443/ws/", same)
	f("https://10.0.0.1:9000/x", "https://10.0.0.1:9000/x", same) // another scheme than the backend's
	f("http://10.0.0.1:9001/x", "http://10.0.0.1:9001/x", same)
	f("http://10.0.0.1:90000/x", "http://10.0.0.1:90000/x", same)
	f("http://other.example/x", "http://other.example/x", same)
	f("http://user@10.0.0.1:9000/", "http://user@10.0.0.1:9000/", same)
	f("room/7", "room/7", same)
	f("?page=2", "?page=2", same)
	f("", "", same)
	f("mailto:a@b", "mailto:a@b", same)
	// Apache wants a slash behind the authority, and one ProxyPassReverse for
	// each form: another member, the public host, a path alone.
	f("http://10.0.0.1:9000", "https://game.example:8443/ws/", "http://10.0.0.1:9000")
	f("http://10.0.0.1:9000?x", "https://game.example:8443/ws/?x", "http://10.0.0.1:9000?x")
	f("http://node.internal/x", "https://game.example:8443/ws/x", "http://node.internal/x")
	f("http://NODE.internal:80/x", "https://game.example:8443/ws/x", "http://NODE.internal:80/x")
	f("http://game.example:8443/x", "https://game.example:8443/ws/x", "http://game.example:8443/x")
	f("//10.0.0.1:9000/x", "//game.example:8443/ws/x", "//10.0.0.1:9000/x")
	f("/login?next=/x", "/ws/login?next=/x", "/login?next=/x")

	nothing := reverseOf(t, "", "10.0.0.1:9000")
	if got := string(nothing.appendURL(nil, []byte("http://10.0.0.1:9000"), &facts{scheme: "http"})); got != "/" {
		t.Errorf("without a public host: %q", got)
	}
	if got := string(nothing.appendURL(nil, []byte("/login"), &public)); got != "/login" {
		t.Errorf("without a prefix: %q", got)
	}
}

func TestReverseRefresh(t *testing.T) {
	r := reverseOf(t, "/ws", "10.0.0.1:9000")
	f := func(value, want string) {
		t.Helper()
		if got := string(r.appendRefresh(nil, []byte(value), &facts{scheme: "https", public: []byte("pub")})); got != want {
			t.Errorf("%q becomes %q, want %q", value, got, want)
		}
	}
	f("5", "5")
	f("5; url=http://10.0.0.1:9000/x", "5; url=https://pub/ws/x")
	f("0;URL='/x'", "0;URL='/ws/x'")
	f(`0, url="http://10.0.0.1:9000/"`, `0, url="https://pub/ws/"`)
	f("5; url=http://other/x", "5; url=http://other/x")
	f("5; u=/x", "5; u=/x")
}

// The column apache is what ProxyPassReverseCookiePath / /ws/ and
// ProxyPassReverseCookieDomain node.internal game.example make of it.
func TestReverseCookie(t *testing.T) {
	const same = "same"
	r := reverseOf(t, "/ws", "node.internal:9000", "10.0.0.1:9000")
	f := func(public, value, want, apache string) {
		t.Helper()
		if apache == want {
			t.Errorf("%q: write same for Apache", value)
		}
		if got := string(r.appendCookie(nil, []byte(value), &facts{public: []byte(public)})); got != want {
			t.Errorf("%q becomes %q, want %q (Apache: %s)", value, got, want, apache)
		}
	}
	const pub = "game.example:8443"
	f(pub, "a=1", "a=1", same)
	f(pub, "a=1; HttpOnly; SameSite=Lax", "a=1; HttpOnly; SameSite=Lax", same)
	f(pub, "a=1; Path=/room; Secure", "a=1; Path=/ws/room; Secure", same)
	f(pub, "a=path=/x; Path=relative", "a=path=/x; Path=relative", same)
	f(pub, "a=1; Domain=node.internal", "a=1; Domain=game.example", same)
	f(pub, "a=1; Domain=other.example; Max-Age=5", "a=1; Domain=other.example; Max-Age=5", same)
	// A path that ends in a slash would not cover /ws itself.
	f(pub, "a=1; path=/", "a=1; Path=/ws", "a=1; path=/ws/")
	f(pub, "a=1;domain=.NODE.internal;Path=/", "a=1; Domain=game.example; Path=/ws", "a=1;domain=.NODE.internal;Path=/ws/")
	f("127.0.0.1:80", "a=1; Domain=node.internal; Secure", "a=1; Secure", "a=1; Domain=game.example; Secure")
	f("[::1]:80", "a=1; Domain=10.0.0.1", "a=1", "a=1; Domain=10.0.0.1")
}

// docs/from-apache.md says what becomes of a backend's answer.
func TestFromApache(t *testing.T) {
	data, err := os.ReadFile("../docs/from-apache.md")
	if err != nil {
		t.Fatal(err)
	}
	r := reverseOf(t, "/ws", "10.0.0.1:9000", "node.internal:80")
	public := facts{scheme: "https", public: []byte("game.example"), sent: []byte("game.example")}
	code := regexp.MustCompile("`([^`]+)`")
	rows := regexp.MustCompile("(?m)^\\| `(Location|Set-Cookie): ([^`]+)`[^|]*\\| ([^|]+) \\| ([^|]+) \\|$").FindAllStringSubmatch(string(data), -1)
	if len(rows) != 9 {
		t.Errorf("%d rows are found", len(rows))
	}
	for _, row := range rows {
		value, says := row[2], row[4]
		if strings.HasPrefix(says, "the same") {
			says = row[3]
		}
		want := value
		if found := code.FindStringSubmatch(says); found != nil {
			want = found[1]
		}
		got := string(r.appendURL(nil, []byte(value), &public))
		if row[1] == "Set-Cookie" {
			got = string(r.appendCookie(nil, []byte(value), &public))
			got = got[strings.LastIndexByte(got, '=')+1:]
		}
		if got != want {
			t.Errorf("%s: %s becomes %q, and is documented as %q", row[1], value, got, want)
		}
	}
}

// FuzzReverse checks that no value of a backend's makes more fields or
// attributes of one, and that what is not the backend's stays.
func FuzzReverse(f *testing.F) {
	for _, s := range []string{"http://10.0.0.1:9000/a", "/", "//10.0.0.1:9000", "5; url='/x'", "a=1; Path=/; Domain=10.0.0.1;;", "https://", "0;url=\""} {
		f.Add(s)
	}
	pools, err := balancer.NewRegistry().Compile(configOf("10.0.0.1:9000").Pools)
	if err != nil {
		f.Fatal(err)
	}
	r := &reverse{pool: pools.Pool("pool"), prefix: "/ws"}
	public := facts{scheme: "https", public: []byte("pub.example")}
	f.Fuzz(func(t *testing.T, value string) {
		breaks := func(s string) int { return strings.Count(s, "\r") + strings.Count(s, "\n") }
		url := string(r.appendURL(nil, []byte(value), &public))
		for _, got := range []string{url, string(r.appendRefresh(nil, []byte(value), &public))} {
			if breaks(got) != breaks(value) || len(got) > len(value)+len("https://pub.example/ws/") {
				t.Errorf("%q becomes %q", value, got)
			}
		}
		if !strings.HasPrefix(value, "/") && !strings.Contains(value, "10.0.0.1:9000") && url != value {
			t.Errorf("%q is not the backend's and becomes %q", value, url)
		}
		cookie := string(r.appendCookie(nil, []byte(value), &public))
		if breaks(cookie) > breaks(value) || strings.Count(cookie, ";") > strings.Count(value, ";") {
			t.Errorf("the cookie %q becomes %q", value, cookie)
		}
	})
}
