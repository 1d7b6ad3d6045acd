package admin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
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
	f("/api/v1/pools/arena/backends/arena-1/drain?deadline=5", 400, nil,
		`"error":"deadline: \"5\" is no time to wait","code":"bad_value","remedy":"write more than 0`)
	f("/api/v1/pools/arena/backends/arena-1/drain?deadline=-5s", 400, nil, `"code":"bad_value"`)
	f("/api/v1/pools/arena/drain?dedline=10s", 400, nil,
		`"error":"there is no query parameter \"dedline\"","code":"unknown_parameter","remedy":"did you mean deadline?"`)
	f("/api/v1/pools/arena/drain?pace=10", 400, nil, `"remedy":"write one of deadline"`)
	f("/api/v1/pools/arena/drain?deadline=10s&now", 400, nil, `there is no query parameter \"now\"`)
	f("/api/v1/pools/arena/undrain?deadline=10s", 400, nil, `"remedy":"this path takes none"`)
	f("/api/v1/pools/none/drain", 404, &Order{Pool: "none", Mode: "drain"}, `"code":"no_pool"`)
	f("/api/v1/pools/arena/backends/broken/drain", 500, &Order{Pool: "arena", Backend: "broken", Mode: "drain"}, `"code":"internal"`)
	f("/api/v1/pools/arena/backends/arena-1/explode", 404, nil, `"code":"no_path"`)
	f("/api/v1/reload", 501, nil, `"error":"this Holdfast runs without a configuration file, as holdfast demo does`)
	f("/api/v1/plan", 501, nil, `"remedy":"run one by a file: holdfast serve --config FILE"`)
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

func TestPlan(t *testing.T) {
	var got Proposal
	var mistakes []string
	base := serving(t, Options{Token: secret, Control: Control{Plan: func(p Proposal) (Plan, []string, error) {
		got = Proposal{Name: p.Name, Text: []byte(string(p.Text))}
		return Plan{Changes: "log", KeysMoved: 3}, mistakes, nil
	}}})
	f := func(query, token, body string, status int, want string) {
		t.Helper()
		got = Proposal{}
		req, err := http.NewRequest("POST", base+"/api/v1/plan"+query, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status || !strings.Contains(string(answer), want) {
			t.Errorf("%s with %d bytes: %d %s, want %d %s", query, len(body), resp.StatusCode, answer, status, want)
		}
		if status == 200 && string(got.Text) != body {
			t.Errorf("%s: %d bytes arrived of %d", query, len(got.Text), len(body))
		}
	}

	f("?name=new.toml", secret, "a = 1", 200, `"changes":"log","backends":[],"sockets_stay":0,"sockets_retire":0,"keys":0,"keys_moved":3`)
	f("", secret, strings.Repeat("x", 2<<20), 200, `"changes":"log"`)
	f("", "wrong", strings.Repeat("x", 500), 401, `"code":"unauthorized"`)
	for _, name := range []string{"../x.yaml", "/etc/x.yaml", "x", "a%5Cb.yaml", "."} {
		f("?name="+name, secret, "a", 400, `"code":"bad_value"`)
	}
	// The head alone decides on a large body; strangers fill no memory.
	for token, size := range map[string]int{secret: MaxPlanBytes + 1, "wrong": maxBodyBytes + 1} {
		c := testkit.DialTCP(t, strings.TrimPrefix(base, "http://"))
		c.Send(fmt.Sprintf("POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", token, size))
		if answer := c.ReadUntil("}\n", 5*time.Second); !strings.HasPrefix(answer, "HTTP/1.1 413") {
			t.Errorf("%d bytes with the token %s: %q", size, token, answer)
		}
	}
	mistakes = []string{"a: wrong"}
	f("", secret, "a", 422, `"errors":["a: wrong"]`)
}
