package terminal

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newUndrain() *cobra.Command {
	return newMode("undrain", "Let a backend, or a pool, take sockets again", "takes sockets again")
}

func newMaintenance() *cobra.Command {
	return newMode("maintenance", "Take a backend, or a pool, out: nothing new, no probes; its sockets stay", "is in maintenance")
}

// newMode is a command that gives one order and does not wait.
func newMode(name, short, done string) *cobra.Command {
	cmd := &cobra.Command{Use: name + " POOL/BACKEND | POOL", Short: short, Args: oneArgument}
	dial := remote(cmd)
	cmd.ValidArgsFunction = complete(dial)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := dial()
		if err != nil {
			return err
		}
		ctx, cancel := interruptible(cmd)
		defer cancel()
		t, err := resolve(ctx, c, args[0])
		if err != nil {
			return err
		}
		if err := c.order(ctx, t, name, nil); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", t, done)
		return nil
	}
	return cmd
}
