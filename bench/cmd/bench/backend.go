package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/bench/backend"
)

// backendCommand runs echo backends until it is told to stop. Its one line of
// output, host:port of each separated by commas, is what --target takes.
func backendCommand() *cobra.Command {
	var listeners, threads int
	c := &cobra.Command{
		Use:   "backend",
		Short: "run echo backends (WebSocket echo, 200 to any other GET) until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := backend.Start(listeners, threads)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), strings.Join(b.Addresses(), ",")); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return b.Close()
		},
	}
	c.Flags().IntVar(&listeners, "listeners", 3, "listening addresses, each a backend to the balancer")
	c.Flags().IntVar(&threads, "threads", 1, "epoll loops that serve them")
	return quiet(c)
}
