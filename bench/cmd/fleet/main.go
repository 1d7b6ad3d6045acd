// Command fleet shows what Holdfast does when a game server is drained, dies,
// or comes back, under thousands of sockets of k6:
//
//	go build -o holdfast ./cmd/holdfast
//	go run ./bench/cmd/fleet drain --holdfast ./holdfast --out bench/results/fleet
//	go run ./bench/cmd/fleet storm
//	go run ./bench/cmd/fleet ramp
//
// It prints what was seen, keeps it as JSON and draws it as SVG, and ends with
// 1 if something is not as docs/operations.md says. A run has up to 9,000
// sockets: 18,100 descriptors for Holdfast (ulimit -n 20000).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/bench/fleet"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var o fleet.Options
	root := &cobra.Command{Use: "fleet", Short: "show what happens to a fleet's sockets", SilenceUsage: true, SilenceErrors: true}
	flags := root.PersistentFlags()
	flags.StringVar(&o.Holdfast, "holdfast", "./holdfast", "program to show")
	flags.StringVar(&o.K6, "k6", "k6", "program that plays the clients")
	flags.StringVar(&o.Scripts, "scripts", "bench/k6", "directory of its scripts")
	flags.StringVar(&o.Out, "out", "bench/results/fleet", "directory for JSON and SVG")
	root.AddCommand(drain(&o), storm(&o), ramp(&o), server())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

// ready fills in what the flags do not say.
func ready(o *fleet.Options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	o.Backend = []string{self, "server"}
	return os.MkdirAll(o.Out, 0o755)
}

// show prints what was seen, whatever came of it.
func show(cmd *cobra.Command, seen any, err error) error {
	if data, jsonErr := json.Marshal(seen); jsonErr == nil {
		fmt.Fprintln(cmd.OutOrStdout(), string(data))
	}
	return err
}

func drain(o *fleet.Options) *cobra.Command {
	var sockets, pace int
	c := &cobra.Command{Use: "drain", Short: "drain one of four servers", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := ready(o); err != nil {
			return err
		}
		o.Sockets = sockets
		seen, err := fleet.Drain(cmd.Context(), *o, pace)
		return show(cmd, seen, err)
	}}
	c.Flags().IntVar(&sockets, "sockets", 5000, "sockets of the server that is drained; a third of that is elsewhere")
	c.Flags().IntVar(&pace, "pace", 250, "closes a second")
	return c
}

func storm(o *fleet.Options) *cobra.Command {
	var sockets, rate int
	c := &cobra.Command{Use: "storm", Short: "kill one of four servers, with the governor and without it", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := ready(o); err != nil {
			return err
		}
		o.Sockets = sockets
		governed, free, err := fleet.Storms(cmd.Context(), *o, rate)
		return show(cmd, map[string]*fleet.Storm{"governed": governed, "free": free}, err)
	}}
	c.Flags().IntVar(&sockets, "sockets", 6000, "sockets of the server that is killed; a tenth of that is elsewhere")
	c.Flags().IntVar(&rate, "rate", 150, "handshakes a second of each server")
	return c
}

func ramp(o *fleet.Options) *cobra.Command {
	var rate, slow int
	c := &cobra.Command{Use: "ramp", Short: "kill one of four servers and start it again", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := ready(o); err != nil {
			return err
		}
		seen, err := fleet.ComeBack(cmd.Context(), *o, rate, slow)
		return show(cmd, seen, err)
	}}
	c.Flags().IntVar(&rate, "rate", 150, "sockets a second")
	c.Flags().IntVar(&slow, "slow-start", 20, "seconds")
	return c
}

// server is one game server, which runs until it is killed.
func server() *cobra.Command {
	var name, listen string
	c := &cobra.Command{Use: "server", Short: "run a game server", Hidden: true, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		s := fleet.Serve(ln, name)
		defer s.Close()
		fmt.Fprintln(cmd.OutOrStdout(), ln.Addr())
		<-cmd.Context().Done()
		return nil
	}}
	c.Flags().StringVar(&name, "name", "b1", "what it says")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "host:port")
	return c
}
