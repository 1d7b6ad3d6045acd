package fleet

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/plot/plotter"
)

// Drained is what the clients of a drain saw.
type Drained struct {
	Sockets  int              `json:"sockets"`
	Pace     int              `json:"closes_per_second"`
	Before   map[string]int   `json:"before"` // sockets by server
	After    map[string]int   `json:"after"`
	Codes    map[string]int   `json:"codes"` // that clients of the drained server read
	Took     float64          `json:"took"`  // seconds, to the last Close
	Most     int              `json:"most_closes_in_a_second"`
	Timeline []map[string]int `json:"timeline"` // sockets by server, and when in milliseconds
	Closes   []int64          `json:"-"`        // when each Close was read, in milliseconds
	// PerSecond are Closes of each second.
	PerSecond []int `json:"closes_of_each_second"`
}

// Drain drains one of four servers that has o.Sockets sockets, at that pace.
func Drain(ctx context.Context, o Options, pace int) (*Drained, error) {
	f, err := start(o, fmt.Sprintf("    drain: {deadline: 30s, closes_per_second: %d}\n", pace))
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var seen struct {
		Drained
		Closes   []int64          `json:"closes"`
		Timeline []map[string]int `json:"timeline"`
	}
	err = f.k6(ctx, "fleet_drain.js", &seen, fmt.Sprint("SOCKETS=", o.Sockets), fmt.Sprint("PACE=", pace))
	d := &seen.Drained
	d.Pace, d.Closes, d.Timeline = pace, seen.Closes, seen.Timeline
	slices.Sort(d.Closes)
	d.Most = most(d.Closes, 1)
	if n := len(d.Closes); n > 0 {
		d.Took = float64(d.Closes[n-1]) / 1000
		d.PerSecond = make([]int, d.Closes[n-1]/1000+1)
		for _, at := range d.Closes {
			d.PerSecond[at/1000]++
		}
	}
	if keepErr := o.keep("drain", d); keepErr != nil {
		return d, keepErr
	}
	if drawErr := d.draw(o); drawErr != nil {
		return d, drawErr
	}
	return d, err
}

// draw draws the sockets of each server over time.
func (d *Drained) draw(o Options) error {
	p := newPlot(fmt.Sprintf("A drain of %d sockets at %d closes a second", d.Sockets, d.Pace), "seconds", "sockets")
	for i := range servers {
		var line plotter.XYs
		for _, at := range d.Timeline {
			line = append(line, plotter.XY{X: float64(at["at"]) / 1000, Y: float64(at[nameOf(i)])})
		}
		if err := p.line(nameOf(i), line, i); err != nil {
			return err
		}
	}
	return p.save(o, "drain")
}
