package terminal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/file"
	"github.com/holdfast-lb/holdfast/internal/spelling"
)

func newPlan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan --config NEW",
		Short: "Say what a reload with another configuration would do to the running one",
		Long: "The running Holdfast reads NEW as a reload would, in the place of its own file, and says what would become\n" +
			"of backends, sockets and sticky keys; or every mistake, and ends with 1. Nothing changes.",
		Args: NoArguments,
	}
	name := cmd.Flags().StringP("config", "c", "", "configuration `FILE` (.yaml, .toml or .json)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml", "toml", "json")
	most := cmd.Flags().Int64("max-moved", 0, "end with 1 if more than `N` sticky keys would move; not given: any number may")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	remote(cmd, func(ctx context.Context, c *client, _ []string) error {
		if *name == "" {
			return errors.New("--config is missing, write the file that a reload would read: holdfast plan --config NEW")
		}
		bounded := cmd.Flags().Changed("max-moved")
		if bounded {
			if err := notNegative("max-moved", *most); err != nil {
				return err
			}
		}
		text, err := file.Read(*name, admin.MaxPlanBytes)
		if err != nil {
			return fmt.Errorf("%s: %w", *name, err)
		}
		var plan admin.Plan
		err = c.do(ctx, http.MethodPost, url.Values{"name": {filepath.Base(*name)}}, bytes.NewReader(text), &plan, "plan")
		var no *refusal
		if errors.As(err, &no) && no.Code == "refused" {
			for _, line := range no.Errors {
				fmt.Fprintln(cmd.ErrOrStderr(), line)
			}
			return errors.New("a reload would refuse this configuration")
		}
		if err != nil {
			return err
		}
		for _, line := range plan.Warnings {
			fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+line)
		}
		if *asJSON {
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			err = out.Encode(plan)
		} else {
			err = writePlan(cmd.OutOrStdout(), &plan)
		}
		if err == nil && bounded && plan.KeysMoved > *most {
			err = fmt.Errorf("%s would move, --max-moved allows %d", spelling.Count(plan.KeysMoved, "sticky key"), *most)
		}
		return err
	})
	return cmd
}

func writePlan(w io.Writer, plan *admin.Plan) error {
	fmt.Fprintf(w, "Changes: %s\n\n", cmp.Or(plan.Changes, "none"))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POOL\tBACKEND\tADDRESS\tFATE\tSOCKETS\tWHICH")
	for _, b := range plan.Backends {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", b.Pool, b.Name, b.Address, b.Fate, b.Sockets, cmp.Or(b.After, "-"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nSockets: %d on backends that stay, %d on backends that leave the configuration.\nSticky keys: %d of %d move.\n",
		plan.SocketsStay, plan.SocketsRetire, plan.KeysMoved, plan.Keys)
	if len(plan.KeysCarried) > 0 {
		_, err = fmt.Fprintf(w, "Clients of %s hold their keys themselves: those with open sockets are counted, others are not known.\n",
			strings.Join(plan.KeysCarried, ", "))
	}
	return err
}
