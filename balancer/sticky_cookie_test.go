package balancer

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/config"
)

func TestCookieRoundTrip(t *testing.T) {
	_, p := compiled(t, config.Pool{Sticky: byCookie("0123456789abcdef"), Backends: backendsOf(1, 1, 1)})
	seen := map[string]bool{}
	for _, b := range p.Backends() {
		value := p.Sticky().Encode(b)
		if len(value) != 32 || seen[value] || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("cookie %q is not 32 characters of base64url, or not this backend's alone", value)
		}
		seen[value] = true
		if id, ok := p.Sticky().Decode([]byte(value)); !ok || id != b.StickyID() || id == 0 {
			t.Errorf("cookie %q gives %#x, %v, want %#x", value, id, ok, b.StickyID())
		}
	}
}

func TestCookieIsRefused(t *testing.T) {
	const secret = "0123456789abcdef"
	r := NewRegistry()
	ps, err := r.Compile(map[string]config.Pool{
		"p":     {Sticky: byCookie(secret), Backends: backendsOf(1, 1)},
		"other": {Sticky: byCookie(secret), Backends: backendsOf(1, 1)},
		"table": {Sticky: byQuery(), Backends: backendsOf(1, 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := ps.Pool("p")
	good := p.Sticky().Encode(p.Backends()[0])
	f := func(name, value string) {
		t.Helper()
		if id, ok := p.Sticky().Decode([]byte(value)); ok || id != 0 {
			t.Errorf("%s: %q gives %#x, %v", name, value, id, ok)
		}
	}
	f("empty", "")
	f("short", good[:31])
	f("long", good+"A")
	f("padded", good[:31]+"=")
	f("not base64", strings.Repeat("!", 32))
	f("line breaks", "\r\n"+good[:30])
	f("zero", strings.Repeat("A", 32))
	f("another pool's", ps.Pool("other").Sticky().Encode(ps.Pool("other").Backends()[0]))
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	for bit := range 8 * len(raw) {
		forged := bytes.Clone(raw)
		forged[bit/8] ^= 1 << (bit % 8)
		f("one bit", base64.RawURLEncoding.EncodeToString(forged))
	}
	// The tag of one backend does not vouch for another.
	second, _ := base64.RawURLEncoding.DecodeString(p.Sticky().Encode(p.Backends()[1]))
	f("mixed", base64.RawURLEncoding.EncodeToString(append(raw[:cookieID:cookieID], second[cookieID:]...)))
	_, stranger := compiled(t, config.Pool{Sticky: byCookie("another secret!!"), Backends: backendsOf(1, 1)})
	f("another secret's", stranger.Sticky().Encode(stranger.Backends()[0]))
	_, gone := compiled(t, config.Pool{Sticky: byCookie(secret), Backends: backendsOf(1, 1, 1)})
	f("a removed backend's", gone.Sticky().Encode(gone.Backends()[2]))

	table := ps.Pool("table")
	if _, ok := table.Sticky().Decode([]byte(good)); ok || table.Sticky().Encode(table.Backends()[0]) != "" {
		t.Error("a pool that is not sticky by cookie has cookies")
	}
}

// Without a configured secret cookies are good for the life of the process,
// over reloads, and no longer.
func TestCookieRandomSecret(t *testing.T) {
	c := config.Pool{Sticky: byCookie(""), Backends: backendsOf(1, 1)}
	r, p := compiled(t, c)
	value := p.Sticky().Encode(p.Backends()[0])
	if _, ok := reload(t, r, c).Sticky().Decode([]byte(value)); !ok {
		t.Error("a reload made the cookie worthless")
	}
	_, restarted := compiled(t, c)
	if _, ok := restarted.Sticky().Decode([]byte(value)); ok {
		t.Error("two registries have drawn the same secret")
	}
	if p.Backends()[0].StickyID() == restarted.Backends()[0].StickyID() {
		t.Error("the id follows from the address alone, so it can be looked up")
	}
}

func TestCookieDoesNotAllocate(t *testing.T) {
	_, p := compiled(t, config.Pool{Sticky: byCookie(""), Backends: backendsOf(equal(100)...)})
	b := p.Backends()[50]
	value := []byte(p.Sticky().Encode(b))
	if allocs := testing.AllocsPerRun(100, func() {
		if id, ok := p.Sticky().Decode(value); !ok || id != b.StickyID() {
			panic("not decoded")
		}
		if len(p.Sticky().Encode(b)) != cookieText {
			panic("not encoded")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// FuzzCookie: whatever is sent, only what was issued is accepted.
func FuzzCookie(f *testing.F) {
	_, p := compiled(f, config.Pool{Sticky: byCookie("0123456789abcdef"), Backends: backendsOf(1, 1, 1)})
	issued := map[string]uint64{}
	for _, b := range p.Backends() {
		value := p.Sticky().Encode(b)
		issued[value] = b.StickyID()
		f.Add([]byte(value))
		f.Add([]byte(value[:31] + "="))
		f.Add([]byte(value[:30] + "\r\n"))
	}
	f.Add([]byte(nil))
	f.Add(bytes.Repeat([]byte("_"), 32))
	f.Fuzz(func(t *testing.T, value []byte) {
		id, ok := p.Sticky().Decode(value)
		want, wantOK := issued[string(value)]
		if id != want || ok != wantOK {
			t.Fatalf("%q gives %#x, %v, want %#x, %v", value, id, ok, want, wantOK)
		}
	})
}

func BenchmarkCookieDecode(b *testing.B) {
	_, p := compiled(b, config.Pool{Sticky: byCookie(""), Backends: backendsOf(equal(100)...)})
	value := []byte(p.Sticky().Encode(p.Backends()[50]))
	b.ReportAllocs()
	for b.Loop() {
		p.Sticky().Decode(value)
	}
}
