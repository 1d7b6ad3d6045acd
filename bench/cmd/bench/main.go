// Command bench measures Holdfast beside other balancers, on this machine.
//
//	bench --holdfast ./holdfast --against haproxy,nginx,none
//	bench --quick --only pingpong,churn
//	bench compare RUN1 RUN2           do two runs agree?
//	bench summary RUN1 RUN2           a line for each scenario
//	bench backend                     echo backends, until Ctrl-C
//	bench load churn --target 127.0.0.1:8080 --duration 10s
//
// The first form starts backends in a process of their own and then, for each
// scenario, round and balancer in turn, a fresh balancer and a load generator,
// again processes of their own (this program calls itself). It prints a table
// and leaves report.md and raw.json in a directory. bench/README.md explains
// the scenarios and how to read the figures.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := compareCommand()
	root.AddCommand(backendCommand(), loadCommand(), agreeCommand(), summaryCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// quiet keeps cobra from printing the usage after an error of a run.
func quiet(c *cobra.Command) *cobra.Command {
	c.SilenceUsage, c.SilenceErrors = true, true
	return c
}
