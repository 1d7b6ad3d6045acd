package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/bench/wss"
)

// wssCommand measures balancers that run already, over TLS, in turn.
func wssCommand() *cobra.Command {
	p := wss.Plan{Sockets: 200, Size: 64, Warmup: time.Second, Duration: 5 * time.Second}
	var targets []string
	var idle bool
	rounds := 5
	c := &cobra.Command{
		Use:   "wss --target NAME=HOST:PORT=PID...",
		Short: "measure balancers that run already with WebSockets over TLS, in turn",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			type peer struct {
				wss.Plan
				name    string
				results []wss.Result
			}
			var peers []*peer
			for _, t := range targets {
				parts := strings.Split(t, "=")
				if len(parts) != 3 {
					return fmt.Errorf("read --target %q: give NAME=HOST:PORT=PID", t)
				}
				pid, err := strconv.Atoi(parts[2])
				if err != nil {
					return fmt.Errorf("read --target %q: %w", t, err)
				}
				x := &peer{Plan: p, name: parts[0]}
				x.Target, x.Pid = parts[1], pid
				peers = append(peers, x)
			}
			measure := wss.PingPong
			if idle {
				measure, rounds = wss.Idle, 1 // memory is that of a fresh balancer
			}
			for range rounds {
				for _, x := range peers {
					r, err := measure(cmd.Context(), x.Plan)
					if err != nil {
						return fmt.Errorf("measure %s: %w", x.name, err)
					}
					x.results = append(x.results, r)
				}
			}
			for _, x := range peers {
				slices.SortFunc(x.results, func(a, b wss.Result) int { return int(a.CPU - b.CPU) })
				r := x.results[len(x.results)/2]
				if idle {
					fmt.Fprintf(cmd.OutOrStdout(), "%-12s %8.0f bytes a socket\n", x.name, r.Memory)
				} else {
					fmt.Fprintf(cmd.OutOrStdout(), "%-12s %8.0f round trips/s, %v of the balancer's processor time for one\n", x.name, r.Trips, r.CPU)
				}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringArrayVar(&targets, "target", nil, "NAME=HOST:PORT=PID of a balancer; several take turns")
	f.BoolVar(&idle, "idle", false, "measure memory in place of round trips")
	f.IntVar(&p.Sockets, "sockets", p.Sockets, "sockets open at once")
	f.IntVar(&p.Size, "size", p.Size, "payload of a message in bytes, 1 to 65535")
	f.IntVar(&rounds, "rounds", rounds, "rounds; the median of processor times is shown")
	f.DurationVar(&p.Warmup, "warmup", p.Warmup, "time before the measured time")
	f.DurationVar(&p.Duration, "duration", p.Duration, "measured time; idle: how long memory may settle")
	return quiet(c)
}
