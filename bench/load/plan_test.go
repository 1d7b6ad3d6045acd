package load

import (
	"strings"
	"testing"
)

func TestPlanValidate(t *testing.T) {
	f := func(change func(*Plan), want string) {
		t.Helper()
		p := Default()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	f(func(*Plan) {}, "no target")
	f(func(p *Plan) { p.Scenario = "pong" }, `"pong" is none of`)
	f(func(p *Plan) { p.Sockets, p.Threads = 1, 2 }, "1 sockets for 2 threads")
	f(func(p *Plan) { p.Size = 0 }, "messages of 0 bytes")
	f(func(p *Plan) { p.Duration = 0 }, "duration 0s")
	f(func(p *Plan) { p.Path = "ws" }, `path "ws"`)
}
