package wrk

import (
	"testing"

	"github.com/holdfast-lb/holdfast/bench/load"
)

const good = `Running 2s test @ http://127.0.0.1:1/
  2 threads and 100 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.52ms  635.91us  12.92ms   93.69%
    Req/Sec    33.20k     2.10k   36.00k    71.00%
  Latency Distribution
     50%  900.00us
     75%    1.60ms
     90%    2.00ms
     99%    4.10ms
  132100 requests in 2.00s, 12.50MB read
Requests/sec:  66050.12
Transfer/sec:      6.25MB
`

func TestParse(t *testing.T) {
	f := func(in string, want load.Result) {
		t.Helper()
		got, err := parse([]byte(in))
		if err != nil || got != want {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	want := load.Result{
		Scenario: "get", Seconds: 2, Ops: 132100, Rate: 66050.12, Transfer: 6.25 * (1 << 20),
		Latency: load.Latency{Mean: 1520, Max: 12920, P50: 900, P90: 2000, P99: 4100},
	}
	f(good, want)
	want.Errors, want.FirstError = 9, "wrk: Socket errors: connect 0, read 2, write 0, timeout 0"
	f(good+"  Socket errors: connect 0, read 2, write 0, timeout 0\n  Non-2xx or 3xx responses: 7\n", want)
	if _, err := parse([]byte("unable to connect")); err == nil {
		t.Error("want an error for a report without totals")
	}
}
