package terminal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
)

func newUpgrade() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Have the program that was put in the place of the running one take over",
		Long: "As SIGUSR2 does. The program at the path of the running process is started with the same arguments and\n" +
			"environment, and takes over: no connection is refused, and open sockets go along. Those with TLS cannot;\n" +
			"they are told Close 1012 at their pools' pace by the process before, which then ends.\n\n" +
			"If the program does not start, refuses the configuration or is not ready in time, the running process goes on\n" +
			"as before; this prints why, and ends with 1.",
		Args: NoArguments,
	}
	timeout := cmd.Flags().Duration("timeout", 30*time.Second, "how long it may take to be ready")
	remote(cmd, func(ctx context.Context, c *client, _ []string) error {
		if err := positive("timeout", *timeout); err != nil {
			return err
		}
		var u admin.Upgrade
		err := c.do(ctx, http.MethodPost, url.Values{"timeout": {timeout.String()}}, nil, &u, "upgrade")
		var no *refusal
		if errors.As(err, &no) && no.Code == "failed" {
			for _, line := range no.Errors {
				fmt.Fprintln(cmd.ErrOrStderr(), line)
			}
			return errors.New("the upgrade failed, the process goes on as before")
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "upgraded: process %d serves, %s\nsockets carried: %d, told to connect again: %d\n", u.PID, u.Version, u.Carried, u.Left)
		return nil
	})
	return cmd
}
