package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
)

func newUndrain() *cobra.Command {
	return newMode("undrain", "Let a backend, or a pool, take sockets again", undrained)
}

func newMaintenance() *cobra.Command {
	return newMode("maintenance", "Take a backend, or a pool, out: nothing new, no probes; its sockets stay",
		func(w io.Writer, t target, _ []admin.Backend) error {
			fmt.Fprintf(w, "%s is in maintenance\n", t)
			return nil
		})
}

// newMode is a command that gives one order and does not wait. done says what
// has become of the backends that it was for.
func newMode(name, short string, done func(io.Writer, target, []admin.Backend) error) *cobra.Command {
	cmd := &cobra.Command{Use: name + " POOL/BACKEND | POOL", Short: short}
	targeted(cmd, func(ctx context.Context, c *client, t target) error {
		if err := c.order(ctx, t, name, nil); err != nil {
			return err
		}
		pools, err := c.pools(ctx)
		if err != nil {
			return err
		}
		return done(cmd.OutOrStdout(), t, t.meant(pools))
	})
	return cmd
}

// undrained tells who takes sockets again. An error names those whose drain is
// not the operator's to end.
func undrained(w io.Writer, t target, backends []admin.Backend) (err error) {
	takes := true
	for i := range backends {
		b := &backends[i]
		switch {
		case b.Retired:
			takes = false
			fmt.Fprintf(w, "%s/%s is not drained any more; it is retired, so it gets nothing new\n", t.pool, b.Name)
		case b.AsksDrain():
			takes = takes && t.backend == ""
			err = errors.Join(err, fmt.Errorf("%s/%s goes on draining, since it asks for that itself (X-Holdfast-Drain)", t.pool, b.Name))
		}
	}
	if takes {
		fmt.Fprintf(w, "%s takes sockets again\n", t)
	}
	return err
}
