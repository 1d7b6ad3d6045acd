package admin

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOrders(t *testing.T) {
	var got *Order
	base := serving(t, Options{Pools: twoPools, Control: Control{SetMode: func(o Order) error {
		got = &o
		if o.Pool == "none" {
			return NoPool(o.Pool)
		}
		if o.Backend == "broken" {
			return errors.New("disk on fire")
		}
		return nil
	}}})
	f := func(path string, status int, want *Order, body string) {
		t.Helper()
		got = nil
		resp, answer := do(t, "POST", base+path, nil)
		if resp.StatusCode != status || !reflect.DeepEqual(got, want) || !strings.Contains(answer, body) {
			t.Errorf("POST %s: %d, order %+v, %s; want %d, %+v, %s", path, resp.StatusCode, got, answer, status, want, body)
		}
	}

	f("/api/v1/pools/arena/backends/arena-1/drain", 200, &Order{Pool: "arena", Backend: "arena-1", Mode: "drain"}, `"name":"arena-1"`)
	f("/api/v1/pools/arena/backends/arena-1/drain?deadline=1m30s", 200,
		&Order{Pool: "arena", Backend: "arena-1", Mode: "drain", Deadline: 90 * time.Second}, `"name":"arena-1"`)
	f("/api/v1/pools/arena/backends/arena-1/undrain", 200, &Order{Pool: "arena", Backend: "arena-1", Mode: "ready"}, ``)
	f("/api/v1/pools/arena/backends/arena-1/maintenance", 200, &Order{Pool: "arena", Backend: "arena-1", Mode: "maintenance"}, ``)
	f("/api/v1/pools/web/drain", 200, &Order{Pool: "web", Mode: "drain"}, `"name":"web"`)
	f("/api/v1/pools/arena/backends/arena-1/drain?deadline=5", 400, nil, `"code":"bad_value","remedy":"write more than 0`)
	f("/api/v1/pools/arena/backends/arena-1/drain?deadline=-5s", 400, nil, `"code":"bad_value"`)
	f("/api/v1/pools/none/drain", 404, &Order{Pool: "none", Mode: "drain"}, `"code":"no_pool"`)
	f("/api/v1/pools/arena/backends/broken/drain", 500, &Order{Pool: "arena", Backend: "broken", Mode: "drain"}, `"code":"internal"`)
	f("/api/v1/pools/arena/backends/arena-1/explode", 404, nil, `"code":"no_path"`)
	f("/api/v1/reload", 501, nil, `"code":"unavailable"`)
}

func TestReloadIsReported(t *testing.T) {
	var outcome Outcome
	var failed error
	base := serving(t, Options{Control: Control{Reload: func() (Outcome, error) { return outcome, failed }}})
	f := func(o Outcome, err error, status int, want string) {
		t.Helper()
		outcome, failed = o, err
		resp, body := do(t, "POST", base+"/api/v1/reload", nil)
		if resp.StatusCode != status || strings.TrimSpace(body) != want {
			t.Errorf("%+v: %d %s, want %d %s", o, resp.StatusCode, body, status, want)
		}
	}

	f(Outcome{Status: "reloaded", Changes: "log"}, nil, 200, `{"status":"reloaded","changes":"log"}`)
	f(Outcome{Status: "unchanged", Warnings: []string{"w"}}, nil, 200, `{"status":"unchanged","warnings":["w"]}`)
	f(Outcome{Status: "refused", Errors: []string{"a: x", "b: y"}}, nil, 422,
		`{"error":"the configuration is refused, the one before it still runs","code":"refused",`+
			`"remedy":"mend what errors names and reload again","status":"refused","errors":["a: x","b: y"]}`)
	f(Outcome{}, Conflict("stopping", "the process is ending", "ask another"), 409,
		`{"error":"the process is ending","code":"stopping","remedy":"ask another"}`)
}
