package terminal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/spelling"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show every pool and backend of the running Holdfast",
		Long: "Prints a table, or with --json what it is made of. Ends with 1 when a pool has no usable backend,\n" +
			"when the newest configuration was refused, or when nobody answers.",
		Args: NoArguments,
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	remote(cmd, func(ctx context.Context, c *client, _ []string) error {
		st, err := c.status(ctx)
		if err != nil {
			return err
		}
		pools, err := c.pools(ctx)
		if err != nil {
			return err
		}
		if *asJSON {
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetIndent("", "  ")
			err = out.Encode(struct {
				Status admin.Status `json:"status"`
				Pools  []admin.Pool `json:"pools"`
			}{st, pools})
		} else {
			err = writeStatus(cmd.OutOrStdout(), &st, pools)
		}
		if err != nil {
			return err
		}
		return verdict(&st, pools)
	})
	return cmd
}

// verdict is an error if something needs a look.
func verdict(st *admin.Status, pools []admin.Pool) error {
	var down []string
	for i := range pools {
		if pools[i].Down() {
			down = append(down, pools[i].Name)
		}
	}
	switch {
	case len(down) > 0:
		return fmt.Errorf("no usable backend in %s", strings.Join(down, ", "))
	case len(st.Configuration.Refused) > 0:
		return fmt.Errorf("the newest configuration is refused: %s", strings.Join(st.Configuration.Refused, "; "))
	case !st.Ready:
		return fmt.Errorf("not ready: %s", st.Reason)
	}
	return nil
}

func writeStatus(w io.Writer, st *admin.Status, pools []admin.Pool) error {
	sockets := int64(0)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "POOL\tBACKEND\tADDRESS\tSTATE\tMODE\tSOCKETS\tREQUESTS\tWEIGHT\tLOAD\tFOR\tWHY")
	for _, p := range pools {
		for i := range p.Backends {
			b := &p.Backends[i]
			sockets += b.Active.Sockets
			since := "-"
			if !b.Since.IsZero() {
				since = age(st.Now.Sub(b.Since))
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", p.Name, b.Name, b.Address, stateOf(b), modeOf(b),
				b.Active.Sockets, b.Active.Requests, b.Weight, loadOf(b), since, b.Why)
		}
	}
	for _, p := range pools {
		if d := p.Discovery; d != nil && d.Trouble != "" {
			fmt.Fprintf(table, "\nDiscovery of %s (%s) fails, what was found before stays (%d): %s\n", p.Name, d.Source, d.Backends, d.Trouble)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	loaded := ""
	if at := st.Configuration.Loaded; !at.IsZero() { // the demo has no file
		loaded = ", configuration loaded " + age(st.Now.Sub(at)) + " ago"
	}
	_, err := fmt.Fprintf(w, "\n%s. Up for %s%s.\n", spelling.Count(sockets, "socket"), age(st.Now.Sub(st.Began)), loaded)
	return err
}

// stateOf is what health checks and live traffic find.
func stateOf(b *admin.Backend) string {
	switch e := b.Ejected; {
	case e == nil:
		return string(b.State)
	case e.Ignored:
		return string(b.State) + ", ejected (ignored)"
	}
	return string(b.State) + ", ejected"
}

// modeOf is a backend's mode, with how far a drain has come.
func modeOf(b *admin.Backend) string {
	switch {
	case b.Retired && b.Drain != nil:
		return "retired, drain" + leftOf(b)
	case b.Retired:
		return "retired"
	case b.AsksDrain() && b.Mode == "ready":
		return "drain, asked for" + leftOf(b)
	}
	return b.Mode + leftOf(b)
}

// leftOf is how many sockets a drain has before it, if it has any.
func leftOf(b *admin.Backend) string {
	if b.Drain == nil || b.Drain.Left == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d left)", b.Drain.Left)
}

// loadOf is how full a backend says that it is.
func loadOf(b *admin.Backend) string {
	r := b.Report
	if r == nil {
		return "-"
	}
	text := ""
	if r.Load != nil {
		text = fmt.Sprintf("%.0f%%", 100**r.Load)
	}
	if r.Capacity > 0 {
		text += fmt.Sprintf(" of %d", r.Capacity)
	}
	return cmp.Or(strings.TrimSpace(text), "-")
}

// age is a duration in the largest unit that says enough: 45s, 12m, 7h, 3d.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
