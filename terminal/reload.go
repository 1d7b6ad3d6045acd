package terminal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
)

func newReload() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the configuration read again, and wait for the outcome",
		Long: "As SIGHUP does. Prints what has changed, or every mistake in the file, which then changes nothing,\n" +
			"and ends with 1.",
		Args: NoArguments,
	}
	remote(cmd, func(ctx context.Context, c *client, _ []string) error {
		var outcome admin.Outcome
		err := c.do(ctx, http.MethodPost, nil, nil, &outcome, "reload")
		var no *refusal
		if errors.As(err, &no) && no.Code == "refused" {
			for _, line := range no.Errors {
				fmt.Fprintln(cmd.ErrOrStderr(), line)
			}
			return errors.New("the configuration is refused, the one before it still runs")
		}
		if err != nil {
			return err
		}
		for _, line := range outcome.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+line)
		}
		if outcome.Status == "unchanged" {
			fmt.Fprintln(cmd.OutOrStdout(), "the configuration is unchanged")
			return nil
		}
		fmt.Fprintln(cmd.OutOrStdout(), "reloaded: "+cmp.Or(outcome.Changes, "no key has changed, the files that it names were read again"))
		return nil
	})
	return cmd
}
