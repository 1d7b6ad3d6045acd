package fleet

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/plot/plotter"
)

// Ramp is what clients saw when a server came back.
type Ramp struct {
	Rate int     `json:"sockets_per_second"`
	Slow int     `json:"slow_start"`   // seconds
	Off  float64 `json:"off_the_ramp"` // greatest distance of a fifth of it, as a share of all new sockets
	// Up is when the server was up again, Down when it was killed, in seconds
	// since the first socket.
	Down float64 `json:"down"`
	Up   float64 `json:"up"`
	// Opened are the new sockets of each second, by server.
	Opened map[string][]int `json:"opened_each_second"`
}

// ComeBack kills one of four servers and starts it again, while rate sockets a
// second are opened.
func ComeBack(ctx context.Context, o Options, rate, slow int) (*Ramp, error) {
	f, err := start(o, fmt.Sprintf("    slow_start: %ds\n    health: {type: tcp, interval: 500ms, timeout: 500ms, rise: 1, fall: 1, initial: up}\n", slow))
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var seen struct {
		Off               float64
		Began, Killed, Up int64
		Opened            []struct {
			At   int64
			Home string
		}
	}
	runErr := f.k6(ctx, "fleet_ramp.js", &seen, fmt.Sprint("RATE=", rate), fmt.Sprint("SLOW=", slow))
	since := func(at int64) float64 { return float64(at-seen.Began) / 1000 }
	r := &Ramp{Rate: rate, Slow: slow, Off: seen.Off, Down: since(seen.Killed), Up: since(seen.Up), Opened: map[string][]int{}}
	seconds := 0
	for _, s := range seen.Opened {
		seconds = max(seconds, int(since(s.At))+1)
	}
	for i := range servers {
		r.Opened[nameOf(i)] = make([]int, seconds)
	}
	for _, s := range seen.Opened {
		r.Opened[s.Home][int(since(s.At))]++
	}
	if err := o.keep("ramp", r); err != nil {
		return r, err
	}
	p := newPlot(fmt.Sprintf("A server comes back: new sockets at each, slow_start %d s", slow), "seconds", "new sockets a second")
	for i := range servers {
		var line plotter.XYs
		for second, n := range r.Opened[nameOf(i)] {
			line = append(line, plotter.XY{X: float64(second) + 0.5, Y: float64(n)})
		}
		if err := p.line(nameOf(i), line, i); err != nil {
			return r, err
		}
	}
	var theory plotter.XYs
	for t := 0.0; t <= float64(slow); t += 0.5 {
		part := math.Min(1, math.Max(0.1, t/float64(slow)))
		theory = append(theory, plotter.XY{X: r.Up + t, Y: float64(rate) * part / (servers - 1 + part)})
	}
	if err := p.dashes("b1's ramp", theory, servers); err != nil {
		return r, err
	}
	if err := p.save(o, "ramp"); err != nil {
		return r, err
	}
	return r, runErr
}
