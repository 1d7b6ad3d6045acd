package load

import (
	"time"

	"github.com/holdfast-lb/holdfast/bench/usage"
)

// Result is what one measurement found. It is written as JSON by the tools;
// times in it are microseconds, sizes bytes.
type Result struct {
	Scenario string  `json:"scenario"`
	Sockets  int     `json:"sockets"`
	Size     int     `json:"size"`
	Seconds  float64 `json:"seconds"` // measured time
	Ops      uint64  `json:"ops"`     // round trips, sockets opened and closed, requests; idle: sockets held
	Rate     float64 `json:"rate"`    // ops a second; idle: sockets opened a second
	Latency  Latency `json:"latency"`
	Transfer float64 `json:"transfer,omitempty"` // bytes received a second, by wrk

	Errors     uint64 `json:"errors"`
	FirstError string `json:"first_error,omitempty"`

	// Stall is the longest time in which the generator's own loop did not come
	// round (it naps for 20 ms at most): above that, other work had the cores.
	Stall float64 `json:"stall_us"`

	BalancerCPU float64 `json:"balancer_cpu_us"`  // for one op; 0: not watched
	MachineCPU  float64 `json:"machine_cpu_us"`   // for one op, all processes and the kernel
	Memory      *Memory `json:"memory,omitempty"` // idle and sticky with a watched balancer
	Drain       *Drain  `json:"drain,omitempty"`  // drain
}

// Latency is the distribution of one op's duration in microseconds.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Memory is the balancer's memory (see package usage) in bytes before the
// sockets and while they were held.
type Memory struct {
	Before    int64   `json:"before"`
	After     int64   `json:"after"`
	PerSocket float64 `json:"per_socket"` // sticky: for each key
	// MachinePerSocket counts everything on the machine: the kernel's
	// buffers, generator and backend too. Noisy.
	MachinePerSocket float64 `json:"machine_per_socket"`
}

// Drain is what clients saw while one of their backends was emptied. Latency in
// the result is that of the others.
type Drain struct {
	Sockets    int     `json:"sockets"`     // on the backend when the order was given
	Told       int     `json:"told"`        // of it: read a Close frame
	Code       int     `json:"code"`        // the first Close's status; 1005: none in it
	Cut        int     `json:"cut"`         // of it: ended without a Close frame
	Left       int     `json:"left"`        // still on it at the end of the measured time
	Emptied    float64 `json:"emptied_s"`   // seconds from the order to the last one's end; 0: never
	OthersTold int     `json:"others_told"` // of the other backends: read a Close frame
	OthersCut  int     `json:"others_cut"`  // of the other backends: ended without one
	Unanswered int     `json:"unanswered"`  // messages that were under way on a socket that ended
	Missed     int     `json:"missed"`      // messages that were due while their socket was coming back

	// Linger is for how long after the order processes from before it were
	// there, in seconds; the generator does not know it. LingerOn: still there
	// at the end.
	Linger   float64 `json:"linger_s"`
	LingerOn bool    `json:"linger_on"`
}

// Spend sets the CPU time of one op from readings taken at both ends of the
// measured time. The balancer's stays 0 when it was not watched.
func (r *Result) Spend(before, after usage.Usage) {
	if r.Ops == 0 {
		return
	}
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / float64(r.Ops) }
	r.BalancerCPU = each(after.CPU - before.CPU)
	r.MachineCPU = each(after.Machine - before.Machine)
}
