package terminal

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/spelling"
)

func newSockets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sockets",
		Short: "List the open sockets, oldest first",
		Args:  NoArguments,
	}
	flags := cmd.Flags()
	filters := map[string]*string{
		"pool":    flags.String("pool", "", "only those of this `POOL`"),
		"backend": flags.String("backend", "", "only those of backends of this `NAME`, or of POOL/BACKEND"),
		"address": flags.String("address", "", "only clients with this `ADDRESS`, or in this block"),
		"key":     flags.String("key", "", "only those with this sticky `KEY`"),
	}
	limit := flags.Int("limit", 100, "at most so many; 0: all")
	asJSON := flags.Bool("json", false, "print a JSON object a line")
	remote(cmd, func(ctx context.Context, c *client, _ []string) error {
		if err := notNegative("limit", *limit); err != nil {
			return err
		}
		query := url.Values{}
		if err := whose(ctx, c, filters["pool"], filters["backend"]); err != nil {
			return err
		}
		for name, value := range filters {
			if *value != "" {
				query.Set(name, *value)
			}
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		lines := json.NewEncoder(cmd.OutOrStdout())
		if !*asJSON {
			fmt.Fprintln(table, "ID\tPOOL\tBACKEND\tCLIENT\tKEY\tOPEN\tIDLE\tIN\tOUT\tFRAMES IN\tFRAMES OUT\tRTT")
		}
		shown, matched := 0, 0
		for {
			const most = 1000
			page := admin.SocketPage{}
			size := most
			if *limit > 0 {
				size = min(most, *limit-shown)
			}
			query.Set("limit", strconv.Itoa(size))
			if err := c.do(ctx, http.MethodGet, query, nil, &page, "sockets"); err != nil {
				return err
			}
			for i := range page.Sockets {
				if *asJSON {
					if err := lines.Encode(&page.Sockets[i]); err != nil {
						return err
					}
				} else {
					writeSocket(table, &page.Sockets[i])
				}
			}
			shown += len(page.Sockets)
			matched = max(matched, page.Matched)
			if page.Next == "" || *limit > 0 && shown >= *limit {
				break
			}
			query.Set("cursor", page.Next)
		}
		if *asJSON {
			return nil
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "\n%d of %s\n", shown, spelling.Count(max(shown, matched), "socket"))
		return nil
	})
	return cmd
}

// whose takes POOL/BACKEND of backend apart, and refuses names of which there
// is neither a pool nor a backend.
func whose(ctx context.Context, c *client, pool, backend *string) error {
	if *pool == "" && strings.Contains(*backend, "/") {
		t, err := resolve(ctx, c, *backend)
		*pool, *backend = t.pool, t.backend
		return err
	}
	if *pool == "" && *backend == "" {
		return nil
	}
	pools, err := c.pools(ctx)
	if err != nil {
		return err
	}
	var all []string // backends
	found := false
	for i := range pools {
		p := &pools[i]
		if *pool != "" && p.Name != *pool {
			continue
		}
		found = true
		if names := backendNames(p); *backend == "" || slices.Contains(names, *backend) {
			return nil
		} else if *pool != "" {
			return noBackend(p, *backend)
		} else {
			all = append(all, names...)
		}
	}
	if *pool != "" && !found {
		return noPool(pools, *pool)
	}
	return fmt.Errorf("no pool has a backend %q, those that exist: %s", *backend, listed(all))
}

func writeSocket(table *tabwriter.Writer, s *admin.Socket) {
	client, key, trip := "unix", "-", "-"
	if s.Client != (netip.Addr{}) {
		client = s.Client.String()
	}
	if s.Key != "" {
		key = s.Key
	}
	if s.RoundTrip != nil {
		trip = fmt.Sprintf("%.1fms", 1000**s.RoundTrip)
	}
	fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", s.ID, s.Pool, s.Backend, client, key,
		age(time.Since(s.Opened)), age(time.Duration(s.IdleSeconds*float64(time.Second))),
		size(s.ClientToBackend.Bytes), size(s.BackendToClient.Bytes), s.ClientToBackend.Frames, s.BackendToClient.Frames, trip)
}

// size is a number of bytes in the largest unit that says enough.
func size(n uint64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	f := float64(n)
	unit := -1
	for f >= 1024 && unit < len(units)-1 {
		f /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f%ciB", f, units[unit])
}

func newClose() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "close ID",
		Short: "Close one socket politely",
		Long:  "Its client reads a Close with that code and reason. `holdfast sockets` has the ids.",
		Args:  oneArgument,
	}
	code := cmd.Flags().Int("code", 1008, "status `CODE`: 1000 to 1003, 1007 to 1014 but 1010, or 3000 to 4999")
	reason := cmd.Flags().String("reason", "closed by the operator", "what the client reads, 123 bytes at most")
	remote(cmd, func(ctx context.Context, c *client, args []string) error {
		query := url.Values{"code": {strconv.Itoa(*code)}, "reason": {*reason}}
		if err := c.do(ctx, http.MethodDelete, query, nil, nil, "sockets", args[0]); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "socket %s is told Close %d\n", args[0], *code)
		return nil
	})
	return cmd
}
