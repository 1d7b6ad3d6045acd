// Package wrk runs the HTTP load generator wrk and reads its report.
package wrk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/usage"
)

// ErrMissing is returned by Find when wrk is not installed.
var ErrMissing = errors.New("find wrk: not in PATH (apt install wrk)")

// grace is how much longer than its duration wrk may take, connecting included.
const grace = 10 * time.Second

// Plan is one run: requests for one URL over kept-alive connections.
type Plan struct {
	Program     string // path of wrk
	URL         string
	Threads     int
	Connections int
	Close       bool          // a connection for each request
	Body        int           // POSTs with this many bytes; 0: GETs
	Keys        int           // room=N in the query of each request, N from 1 to this at random; 0: none
	Warmup      time.Duration // a run before the measured one; whole seconds
	Duration    time.Duration // measured; whole seconds
	Watch       int           // pid of the balancer; 0: none
}

// Find returns the path of wrk, or ErrMissing.
func Find() (string, error) {
	path, err := exec.LookPath("wrk")
	if err != nil {
		return "", ErrMissing
	}
	return path, nil
}

// Run runs the plan and blocks until wrk has ended, killed when ctx ends.
// CPU time is read right before and after it, so connecting counts too.
func Run(ctx context.Context, p Plan) (load.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Warmup+p.Duration+2*grace)
	defer cancel()
	if p.Warmup >= time.Second {
		if _, err := p.run(ctx, p.Warmup); err != nil {
			return load.Result{}, err
		}
	}
	before, err := usage.Read(p.Watch)
	if err != nil {
		return load.Result{}, err
	}
	out, err := p.run(ctx, p.Duration)
	if err != nil {
		return load.Result{}, err
	}
	after, err := usage.Read(p.Watch)
	if err != nil {
		return load.Result{}, err
	}
	r, err := parse(out)
	if err != nil {
		return load.Result{}, err
	}
	r.Sockets = p.Connections
	r.Spend(before, after)
	return r, nil
}

func (p Plan) run(ctx context.Context, d time.Duration) ([]byte, error) {
	args := []string{"--latency", "-t", strconv.Itoa(p.Threads), "-c", strconv.Itoa(p.Connections),
		"-d", strconv.Itoa(int(d.Seconds())) + "s", "--timeout", "30s"}
	if p.Close {
		args = append(args, "-H", "Connection: close")
	}
	if p.Body > 0 || p.Keys > 0 {
		script, err := p.script()
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.Remove(script) }()
		args = append(args, "-s", script)
	}
	cmd := exec.CommandContext(ctx, p.Program, append(args, p.URL)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run wrk on %s: %w: %s", p.URL, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// keysScript draws another key for each request; threads have seeds of their own.
const keysScript = `
local threads = 0
function setup(thread) threads = threads + 1; thread:set("id", threads) end
function init(args) math.randomseed(id) end
function request() return wrk.format(nil, wrk.path .. "?room=" .. math.random(%d)) end
`

// script writes the Lua that makes wrk send what the plan says, and returns its
// path, which the caller removes.
func (p Plan) script() (string, error) {
	f, err := os.CreateTemp("", "bench-wrk-*.lua")
	if err != nil {
		return "", fmt.Errorf("write wrk's script: %w", err)
	}
	if p.Body > 0 {
		_, err = fmt.Fprintf(f, "wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", %d)\n", p.Body)
	}
	if p.Keys > 0 && err == nil {
		_, err = fmt.Fprintf(f, keysScript, p.Keys)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("write wrk's script: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return f.Name(), nil
}

var (
	transferLine = regexp.MustCompile(`(?m)^Transfer/sec:\s+([0-9.]+)([KMGT]?)B`)
	totalLine    = regexp.MustCompile(`(?m)^\s*(\d+) requests in ([0-9.]+(?:us|ms|s|m|h))`)
	rateLine     = regexp.MustCompile(`(?m)^Requests/sec:\s+([0-9.]+)`)
	quantLine    = regexp.MustCompile(`(?m)^\s+(50|90|99)%\s+([0-9.]+(?:us|ms|s|m))`)
	averageLine  = regexp.MustCompile(`(?m)^\s+Latency\s+([0-9.]+(?:us|ms|s|m))\s+\S+\s+([0-9.]+(?:us|ms|s|m))`)
	socketLine   = regexp.MustCompile(`(?m)^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
	statusLine   = regexp.MustCompile(`(?m)^\s*Non-2xx or 3xx responses: (\d+)`)
)

// parse reads wrk's report.
func parse(out []byte) (load.Result, error) {
	r := load.Result{Scenario: "get"}
	total, rate := totalLine.FindSubmatch(out), rateLine.FindSubmatch(out)
	if total == nil || rate == nil {
		return r, fmt.Errorf("read wrk's report: no totals in %q", out)
	}
	r.Ops, _ = strconv.ParseUint(string(total[1]), 10, 64)
	r.Seconds = micros(total[2]) / 1e6
	r.Rate, _ = strconv.ParseFloat(string(rate[1]), 64)
	if m := transferLine.FindSubmatch(out); m != nil {
		v, _ := strconv.ParseFloat(string(m[1]), 64)
		for _, unit := range []byte("KMGT") {
			if len(m[2]) == 0 {
				break
			}
			v *= 1024
			if m[2][0] == unit {
				break
			}
		}
		r.Transfer = v
	}
	if m := averageLine.FindSubmatch(out); m != nil {
		r.Latency.Mean, r.Latency.Max = micros(m[1]), micros(m[2])
	}
	for _, m := range quantLine.FindAllSubmatch(out, -1) {
		switch string(m[1]) {
		case "50":
			r.Latency.P50 = micros(m[2])
		case "90":
			r.Latency.P90 = micros(m[2])
		case "99":
			r.Latency.P99 = micros(m[2])
		}
	}
	for _, re := range []*regexp.Regexp{socketLine, statusLine} {
		if m := re.FindSubmatch(out); m != nil {
			for _, n := range m[1:] {
				v, _ := strconv.ParseUint(string(n), 10, 64)
				r.Errors += v
			}
			if r.Errors > 0 && r.FirstError == "" {
				r.FirstError = "wrk: " + string(bytes.TrimSpace(m[0]))
			}
		}
	}
	return r, nil
}

// micros reads wrk's way of writing a time: 12.3us, 1.20ms, 5.00s, 1.5m. The
// patterns above let nothing else pass.
func micros(b []byte) float64 {
	d, _ := time.ParseDuration(string(b))
	return float64(d.Nanoseconds()) / 1e3
}
