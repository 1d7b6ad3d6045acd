package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gonum.org/v1/plot/plotter"
)

// Storm is what servers and clients saw when a server died.
type Storm struct {
	Sockets  int            `json:"sockets"`
	Rate     int            `json:"handshakes_per_second_per_backend"` // 0: no limit
	Before   map[string]int `json:"before"`                            // sockets by server
	After    map[string]int `json:"after"`
	Refusals int            `json:"refusals"`
	LastBack float64        `json:"last_back"` // seconds after the crash
	HalfBack float64        `json:"half_back"`
	// Most are the handshakes of the busiest second and five seconds of a
	// surviving server, by its own clock.
	Most     map[string]int `json:"most_handshakes_in_a_second"`
	MostLong map[string]int `json:"most_handshakes_in_five_seconds"`
	// PerTenth are the handshakes of each tenth of a second, by surviving
	// server.
	PerTenth map[string][]int `json:"handshakes_of_each_tenth"`
}

// Servers and clients share a machine, so a server may stand still and then see
// at once what came meanwhile: for a quarter of a second, say. Over five seconds
// that counts little.
const (
	inASecond     = 1.25
	inFiveSeconds = 1.03
)

// Crash kills one of four servers, which has o.Sockets sockets. rate bounds the
// handshakes a second of each; 0: nothing does.
func Crash(ctx context.Context, o Options, rate int) (*Storm, error) {
	pool := "    health: {type: tcp, interval: 500ms, timeout: 500ms, rise: 1, fall: 1, initial: up}\n"
	within := 10 * time.Second
	if rate > 0 {
		pool += fmt.Sprintf("    limits: {handshakes_per_second_per_backend: %d}\n    queue: {size: %d, timeout: 60s}\n", rate, o.Sockets)
		within = time.Duration(float64(o.Sockets)/float64((servers-1)*rate)*1.25*float64(time.Second)) + 2*time.Second
	}
	f, err := start(o, pool)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var seen struct {
		Storm
		Killed int64   `json:"killed"` // Unix time in milliseconds
		Back   []int64 `json:"back"`   // milliseconds since then
	}
	runErr := f.k6(ctx, "fleet_storm.js", &seen, fmt.Sprint("SOCKETS=", o.Sockets), fmt.Sprint("WITHIN=", within.Milliseconds()))
	s := &seen.Storm
	s.Rate = rate
	slices.Sort(seen.Back)
	if n := len(seen.Back); n > 0 {
		s.LastBack, s.HalfBack = float64(seen.Back[n-1])/1000, float64(seen.Back[n/2])/1000
	}
	s.Most, s.MostLong, s.PerTenth = map[string]int{}, map[string]int{}, map[string][]int{}
	for i := 1; i < servers; i++ {
		times, err := f.handshakes(i)
		if err != nil {
			return s, err
		}
		first, _ := slices.BinarySearch(times, seen.Killed)
		times = times[first:]
		s.Most[nameOf(i)], s.MostLong[nameOf(i)] = most(times, 1), most(times, 5)
		tenths := make([]int, 1)
		for _, at := range times {
			for int64(len(tenths)) <= (at-seen.Killed)/100 {
				tenths = append(tenths, 0)
			}
			tenths[(at-seen.Killed)/100]++
		}
		s.PerTenth[nameOf(i)] = tenths
		one, five := float64(s.Most[nameOf(i)]), float64(s.MostLong[nameOf(i)])
		if r := float64(rate); rate > 0 && runErr == nil && (one > inASecond*r || five > 5*inFiveSeconds*r) {
			runErr = fmt.Errorf("server %s had %.0f handshakes in a second and %.0f in five, its limit is %d a second", nameOf(i), one, five, rate)
		}
	}
	return s, runErr
}

// Storms has the same crash with the governor and without it, and draws both.
func Storms(ctx context.Context, o Options, rate int) (governed, free *Storm, err error) {
	if governed, err = Crash(ctx, o, rate); err != nil {
		return governed, nil, err
	}
	if free, err = Crash(ctx, o, 0); err != nil {
		return governed, free, err
	}
	if err := o.keep("storm", map[string]*Storm{"governed": governed, "free": free}); err != nil {
		return governed, free, err
	}
	p := newPlot(fmt.Sprintf("A server with %d sockets dies: handshakes at each of the others", o.Sockets), "seconds after the crash", "handshakes in the second before")
	for i := 1; i < servers; i++ {
		if err := p.line(nameOf(i)+", governed", perSecond(governed.PerTenth[nameOf(i)]), i); err != nil {
			return governed, free, err
		}
		if err := p.dashes(nameOf(i)+", no limit", perSecond(free.PerTenth[nameOf(i)]), i); err != nil {
			return governed, free, err
		}
	}
	if err := p.save(o, "storm"); err != nil {
		return governed, free, err
	}
	for i := 1; i < servers; i++ {
		if n := free.Most[nameOf(i)]; n <= rate {
			return governed, free, fmt.Errorf("without the governor server %s had %d handshakes in a second at most, which says nothing about %d", nameOf(i), n, rate)
		}
	}
	return governed, free, nil
}

// perSecond is, for each tenth of a second, how many there were in the second
// that ends there.
func perSecond(tenths []int) (line plotter.XYs) {
	sum := 0
	for i := range len(tenths) + 10 {
		if i < len(tenths) {
			sum += tenths[i]
		}
		if i >= 10 {
			sum -= tenths[i-10]
		}
		line = append(line, plotter.XY{X: float64(i+1) / 10, Y: float64(sum)})
	}
	return line
}
