// Package terminal is the operator's side of the admin API: the commands that
// look at a running Holdfast and steer it.
//
// Each command is one file; target.go has what POOL/BACKEND means, and flags.go
// what is said of a wrong flag. All of them speak to the address of --admin
// through a [client], show the token of --token or HOLDFAST_ADMIN_TOKEN, print
// results to standard output and progress to standard error, and return an
// error, so exit status 1, when what was asked for did not come about.
package terminal

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Commands are all of them.
func Commands() []*cobra.Command {
	return []*cobra.Command{newStatus(), newTop(), newSockets(), newClose(), newDrain(), newUndrain(), newMaintenance(), newReload(), newUpgrade(), newPlan(), newTestSocket()}
}

// remote makes cmd one that speaks to a running Holdfast: it adds the flags that
// say where that is, and has run be called with a client of it, until the first
// SIGINT or SIGTERM. It returns what makes such a client.
func remote(cmd *cobra.Command, run func(ctx context.Context, c *client, args []string) error) (dial func() (*client, error)) {
	address := cmd.Flags().String("admin", "127.0.0.1:9090", "admin `ADDRESS` of the running Holdfast, HOST:PORT or a URL")
	token := cmd.Flags().String("token", "", "admin `TOKEN`, or HOLDFAST_ADMIN_TOKEN, which other users of the machine cannot see")
	dial = func() (*client, error) {
		text := *token
		if text == "" {
			text = os.Getenv("HOLDFAST_ADMIN_TOKEN")
		}
		return newClient(*address, text)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial()
		if err != nil {
			return err
		}
		ctx := cmd.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer cancel()
		return run(ctx, c, args)
	}
	return dial
}

// targeted is remote for a command whose one argument is a target, which a shell
// can complete.
func targeted(cmd *cobra.Command, run func(ctx context.Context, c *client, t target) error) {
	cmd.Args = oneArgument
	cmd.ValidArgsFunction = complete(remote(cmd, func(ctx context.Context, c *client, args []string) error {
		t, err := resolve(ctx, c, args[0])
		if err != nil {
			return err
		}
		return run(ctx, c, t)
	}))
}

// complete offers the targets for shell completion.
func complete(dial func() (*client, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := dial()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		pools, err := c.pools(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		for _, t := range targets(pools) {
			words = append(words, t.String())
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
