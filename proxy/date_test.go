package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// TestDate: whoever answers has exactly one Date; a backend's is kept, and one
// that it lacks is added.
func TestDate(t *testing.T) {
	const now = ""
	f := func(name, answer, want string) {
		t.Helper()
		cfg := configOf(scripted(t, nil, answer))
		cfg.Routes = append(cfg.Routes,
			config.Route{Name: "moved", Path: "/moved", Redirect: &config.Redirect{To: "https://b$path", Status: 301}},
			config.Route{Name: "fixed", Path: "/fixed", Respond: &config.Respond{Status: 200, Body: "hello"}},
			config.Route{Name: "empty", Path: "/empty", Respond: &config.Respond{Status: 204}})
		r := start(t, cfg)
		path := "/" + name
		got := r.exchangeAll(t, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		head, _, _ := strings.Cut(got, "\r\n\r\n")
		var dates []string
		for line := range strings.SplitSeq(head, "\r\n") {
			if field, value, ok := strings.Cut(line, ": "); ok && strings.EqualFold(field, "date") {
				dates = append(dates, value)
			}
		}
		if len(dates) != 1 {
			t.Errorf("%s: %d Dates in %q", name, len(dates), got)
			return
		}
		at, err := http.ParseTime(dates[0])
		if want == now && (err != nil || time.Since(at).Abs() > time.Minute) || want != now && dates[0] != want {
			t.Errorf("%s: Date %q", name, dates[0])
		}
	}
	f("moved", "", now)
	f("fixed", "", now)
	f("empty", "", now)
	f("..", "", now) // refused
	f("none", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", now)
	f("late", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\ndate: yesterday\r\nContent-Length: 2\r\n\r\nok", "yesterday")
	f("kept", "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok", "Thu, 01 Jan 1970 00:00:00 GMT")
}
