package admin

import (
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"strconv"
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

func TestSocketQueries(t *testing.T) {
	var got *SocketQuery
	base := serving(t, Options{Sockets: func(q SocketQuery) (SocketPage, error) {
		got = &q
		return SocketPage{Matched: 3, Next: "7"}, nil
	}})
	f := func(query string, status int, want *SocketQuery) {
		t.Helper()
		got = nil
		resp, body := do(t, "GET", base+"/api/v1/sockets"+query, nil)
		if resp.StatusCode != status || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d, %+v, want %d, %+v (%s)", query, resp.StatusCode, got, status, want, body)
		}
		if status == 200 && strings.TrimSpace(body) != `{"sockets":[],"next":"7","matched":3}` {
			t.Errorf("%s: %s", query, body)
		}
	}

	f("", 200, &SocketQuery{Limit: 100})
	f("?pool=arena&backend=a-1&key=room%207&cursor=5&limit=1000", 200,
		&SocketQuery{Pool: "arena", Backend: "a-1", Key: "room 7", After: "5", Limit: 1000})
	f("?address=192.0.2.7", 200, &SocketQuery{Client: netip.MustParsePrefix("192.0.2.7/32"), Limit: 100})
	f("?address=::ffff:192.0.2.7", 200, &SocketQuery{Client: netip.MustParsePrefix("192.0.2.7/32"), Limit: 100})
	f("?address=2001:db8::/32", 200, &SocketQuery{Client: netip.MustParsePrefix("2001:db8::/32"), Limit: 100})
	f("?address=here", 400, nil)
	f("?limit=0", 400, nil)
	f("?limit=1001", 400, nil)
	f("?limit=x", 400, nil)
}

func TestSocketIsClosed(t *testing.T) {
	type order struct {
		id     string
		code   uint16
		reason string
	}
	var got order
	base := serving(t, Options{
		Socket: func(id string) (Socket, bool) { return Socket{ID: id, Pool: "arena"}, id == "7" },
		Control: Control{CloseSocket: func(id string, code uint16, reason string) error {
			if id != "7" {
				return NoSocket(id)
			}
			got = order{id, code, reason}
			return nil
		}},
	})
	f := func(path string, status int, want order) {
		t.Helper()
		got = order{}
		resp, body := do(t, http.MethodDelete, base+"/api/v1/sockets/"+path, nil)
		if resp.StatusCode != status || got != want {
			t.Errorf("DELETE %s: %d %+v, want %d %+v (%s)", path, resp.StatusCode, got, status, want, body)
		}
	}

	f("7", 202, order{"7", 1008, "closed by the operator"})
	f("7?code=4000&reason=cheating", 202, order{"7", 4000, "cheating"})
	f("8", 404, order{})
	for _, code := range []string{"0", "999", "1004", "1005", "1006", "1015", "2999", "5000", "-1", "x", "65536"} {
		f("7?code="+code, 400, order{})
	}
	for _, code := range []uint16{1000, 1001, 1003, 1007, 1012, 1014, 3000, 4999} {
		f("7?reason=r&code="+strconv.Itoa(int(code)), 202, order{"7", code, "r"})
	}
	f("7?reason="+strings.Repeat("x", 124), 400, order{})
	f("7?reason=%ff", 400, order{})

	if resp, body := do(t, "GET", base+"/api/v1/sockets/7", nil); resp.StatusCode != 200 || !strings.Contains(body, `"pool":"arena"`) {
		t.Errorf("GET of one: %d %s", resp.StatusCode, body)
	}
	if resp, _ := do(t, "GET", base+"/api/v1/sockets/8", nil); resp.StatusCode != 404 {
		t.Errorf("GET of none: %d", resp.StatusCode)
	}
}
