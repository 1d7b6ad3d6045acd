package proxy

import (
	"bytes"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/accesslog"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// Records go to the log of their route, or else to that of their listener, or
// else to the default.
func TestAccessLogs(t *testing.T) {
	texts := map[string]*bytes.Buffer{}
	open := func(name string) *accesslog.Logger {
		texts[name] = new(bytes.Buffer)
		l, err := accesslog.New(texts[name], "json")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	all, web, own := open("all"), open("web"), open("own")
	b := testkit.StartBackend(t, nil)
	cfg := configOf(b.Addr)
	for _, name := range []string{"own", "off"} {
		route := cfg.Routes[0]
		route.Name, route.Path = name, "/"+name
		cfg.Routes = append(cfg.Routes, route)
	}
	r := start(t, cfg)
	ask := func(prefix string) {
		for _, path := range []string{"/", "/own", "/off"} {
			r.exchange(t, strings.Replace(get, "/", path+"?"+prefix, 1))
		}
	}
	routes := map[string]*accesslog.Logger{"own": own, "off": nil}
	r.proxy.SetAccessLogs(&AccessLogs{Default: all, Routes: routes})
	ask("first")
	r.proxy.SetAccessLogs(&AccessLogs{Default: all, Routes: routes, Listeners: map[string]*accesslog.Logger{"web": web}})
	ask("second")
	r.proxy.SetAccessLogs(nil)
	ask("third")
	for _, l := range []*accesslog.Logger{all, web, own} {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	f := func(name string, want ...string) {
		t.Helper()
		text := texts[name].String()
		if strings.Count(text, "\n") != len(want) {
			t.Errorf("%s holds\n%s, want %q", name, text, want)
		}
		for _, uri := range want {
			if !strings.Contains(text, `"uri":"`+uri+`"`) {
				t.Errorf("%s lacks %s:\n%s", name, uri, text)
			}
		}
	}
	f("all", "/?first")
	f("web", "/?second")
	f("own", "/own?first", "/own?second")
}
