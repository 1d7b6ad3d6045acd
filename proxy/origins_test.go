package proxy

import (
	"strings"
	"testing"
)

func TestOriginList(t *testing.T) {
	f := func(listed, fields string, want bool) {
		t.Helper()
		l, err := newOriginList(strings.Fields(listed))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.admits(block(strings.Split(fields, "|")...)); got != want {
			t.Errorf("%s: %q is let in: %t, want %t", listed, fields, got, want)
		}
	}
	const game = "https://game.example.com"
	f(game, "Host: x", true) // no browser
	f(game, "Origin: https://game.example.com", true)
	f(game, "origin: HTTPS://Game.Example.Com", true)
	f(game, "Origin: http://game.example.com", false)
	f(game, "Origin: https://game.example.com:8443", false)
	f(game, "Origin: https://game.example.com.evil.example", false)
	f(game, "Origin: https://evil.example/https://game.example.com", false)
	f(game, "Origin: https://xgame.example.com", false)
	f(game, "Origin: null", false)
	f(game, "Origin:", false)
	f(game, "Origin: https://game.example.com|Origin: https://evil.example", false)
	f(game, "Origin: https://game.example.com|Origin: https://game.example.com", false)
	f(game, "Origin: https://"+strings.Repeat("a", 1000), false)
	f(game+":443", "Origin: https://game.example.com", true)
	f(game+" https://b.example", "Origin: https://b.example", true)
	f("http://[::1]:3000", "Origin: http://[::1]:3000", true)

	const below = "https://*.example.com"
	f(below, "Origin: https://a.example.com", true)
	f(below, "Origin: https://a.b.example.com", true)
	f(below, "Origin: https://example.com", false)
	f(below, "Origin: https://.example.com", false)
	f(below, "Origin: https://a..example.com", false)
	f(below, "Origin: https://aexample.com", false)
	f(below, "Origin: http://a.example.com", false)
	f(below, "Origin: https://a.example.com:8443", false)
	f(below+":8443", "Origin: https://a.example.com:8443", true)
	f(below, "Origin: a.example.com", false)
	f(below, "Origin: https://a.example.com.evil.example", false)

	// Whoever lists Origin in Connection does not get past the list.
	f(game, "Connection: Origin|Origin: https://evil.example", false)
}
