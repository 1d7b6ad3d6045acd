package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/bench/load"
	"github.com/holdfast-lb/holdfast/bench/wss"
)

// loadCommand runs one measurement and prints its result as JSON.
func loadCommand() *cobra.Command {
	p := load.Default()
	var targets []string
	c := &cobra.Command{
		Use:   "load SCENARIO",
		Short: "run one scenario (" + strings.Join(load.Scenarios, ", ") + ") against a target; prints JSON",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.Scenario = args[0]
			for _, t := range targets {
				at, err := netip.ParseAddrPort(t)
				if err != nil {
					return fmt.Errorf("read --target %q: %w; give IPv4:port", t, err)
				}
				p.Targets = append(p.Targets, at)
			}
			run := load.Run
			if p.TLS != "" {
				run = wss.Run
			}
			r, err := run(cmd.Context(), p)
			if err != nil {
				return err
			}
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(r)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&targets, "target", nil, "IPv4:port to connect to; several: sockets are dealt out to them")
	f.StringVar(&p.Path, "path", p.Path, "path of the handshake request")
	f.IntVar(&p.Sockets, "sockets", p.Sockets, "sockets open at once")
	f.IntVar(&p.Size, "size", p.Size, "payload of a message in bytes")
	f.IntVar(&p.Rate, "rate", p.Rate, "paced: messages a second over all sockets")
	f.IntVar(&p.Threads, "threads", p.Threads, "epoll loops of the generator")
	f.IntVar(&p.Sources, "sources", p.Sources, "loopback addresses to connect from; 0: let the kernel choose")
	f.DurationVar(&p.Warmup, "warmup", p.Warmup, "time before the measured time")
	f.DurationVar(&p.Duration, "duration", p.Duration, "measured time; idle: how long memory may settle")
	f.DurationVar(&p.Grace, "grace", p.Grace, "for opening the sockets, and for answers due at the end")
	f.StringVar(&p.TLS, "tls", p.TLS, "pingpong, churn, idle: speak TLS; full: a whole handshake for every connection, resume: sessions are resumed")
	f.TextVar(&p.Victim, "victim", netip.AddrPort{}, "storm: the bench backend whose sockets are to end")
	f.StringVar(&p.Order, "order", p.Order, "drain: URL that is asked, by POST, when the balancer is to empty its first backend")
	f.IntVar(&p.Watch, "watch", p.Watch, "pid of the balancer: read its CPU time and memory")
	return quiet(c)
}

// loadArgs is the command line for a plan: the way back of loadCommand.
func loadArgs(p load.Plan) []string {
	targets := make([]string, len(p.Targets))
	for i, t := range p.Targets {
		targets[i] = t.String()
	}
	args := []string{
		"load", p.Scenario, "--target", strings.Join(targets, ","), "--path", p.Path,
		"--sockets", strconv.Itoa(p.Sockets), "--size", strconv.Itoa(p.Size), "--rate", strconv.Itoa(p.Rate),
		"--threads", strconv.Itoa(p.Threads), "--sources", strconv.Itoa(p.Sources),
		"--warmup", p.Warmup.String(), "--duration", p.Duration.String(), "--grace", p.Grace.String(),
		"--watch", strconv.Itoa(p.Watch), "--tls", p.TLS, "--order", p.Order,
	}
	if p.Victim.IsValid() {
		args = append(args, "--victim", p.Victim.String())
	}
	return args
}
