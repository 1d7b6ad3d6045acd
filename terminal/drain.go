package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// pollInterval is how often progress is asked for.
const pollInterval = 200 * time.Millisecond

func newDrain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain POOL/BACKEND | POOL",
		Short: "Empty a backend, or a pool, and wait until it is",
		Long: "The backend gets nothing new from now on, and its sockets are closed at the pace that the pool's\n" +
			"configuration sets, by the deadline at the latest. Ends with 0 when none is left. Ctrl-C ends the\n" +
			"waiting, not the drain; `holdfast undrain` ends that.",
	}
	deadline := cmd.Flags().Duration("deadline", 0, "close the last sockets after this `TIME`; as the configuration says by default")
	after := cmd.Flags().Duration("after", 0, "begin after this `TIME`, in which others learn to look elsewhere")
	noWait := cmd.Flags().Bool("no-wait", false, "return as soon as it has begun")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		err := notNegative("after", *after)
		if cmd.Flags().Changed("deadline") {
			err = errors.Join(err, positive("deadline", *deadline))
		}
		return err
	}
	targeted(cmd, func(ctx context.Context, c *client, t target) error {
		query := url.Values{}
		if cmd.Flags().Changed("deadline") {
			query.Set("deadline", deadline.String())
		}
		select {
		case <-time.After(*after):
		case <-ctx.Done():
			return fmt.Errorf("%s is not drained: ended before --after was over", t)
		}
		if err := c.order(ctx, t, "drain", query); err != nil {
			return err
		}
		if *noWait {
			fmt.Fprintf(cmd.OutOrStdout(), "%s is draining\n", t)
			return nil
		}
		return watchDrain(ctx, c, t, cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
	return cmd
}

// watchDrain shows the progress of a drain until no socket is left.
func watchDrain(ctx context.Context, c *client, t target, out, progress io.Writer) error {
	began := time.Now()
	bar := newBar(progress, t.String())
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	first, retired := int64(-1), t.retired
	for {
		pools, err := c.pools(ctx)
		if errors.Is(err, context.Canceled) {
			bar.end()
			return fmt.Errorf("%s goes on draining without us; `holdfast undrain %s` would end that", t, t)
		}
		if err != nil {
			bar.end()
			return err
		}
		p := progressOf(pools, t)
		switch {
		case !p.draining && retired && p.sockets == 0: // it went with its last socket
			bar.end()
			fmt.Fprintf(out, "%s is drained: %s in %s\n", t, spelling.Count(max(first, 0), "socket"), took(time.Since(began)))
			return nil
		case !p.draining:
			bar.end()
			return fmt.Errorf("%s is not draining any more: somebody has called it off, or it has gone or come back", t)
		}
		if first < 0 {
			first = p.total
		}
		retired = p.retired
		bar.show(max(first, p.left), p.left, p.forced, p.expected)
		if p.left == 0 {
			bar.end()
			fmt.Fprintf(out, "%s is drained: %s in %s, %d of them at the deadline\n", t, spelling.Count(first, "socket"), took(time.Since(began)), p.forced)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// took is how long something takes that lasts seconds or minutes, and may last
// less.
func took(d time.Duration) string {
	if d < time.Second {
		return max(d.Round(time.Millisecond), time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// progress is how far the drain of a target has come, over its backends.
type progress struct {
	draining            bool
	retired             bool  // those that are drained
	sockets             int64 // of all, drained or not
	total, left, forced int64
	expected            time.Time
}

func progressOf(pools []admin.Pool, t target) (sum progress) {
	for _, b := range t.meant(pools) {
		sum.sockets += b.Active.Sockets
		if b.Mode != "drain" && !b.Retired || b.Drain == nil && b.Retired {
			continue
		}
		sum.draining = true
		sum.retired = b.Retired
		sum.left += b.Active.Sockets
		if b.Drain == nil {
			sum.total += b.Active.Sockets
			continue
		}
		sum.total += b.Drain.Sockets
		sum.forced += b.Drain.Forced
		if b.Drain.Expected.After(sum.expected) {
			sum.expected = b.Drain.Expected
		}
	}
	return sum
}

// bar shows progress in one line that is written again and again on a
// terminal, and in a line for each tenth elsewhere.
type bar struct {
	w     io.Writer
	name  string
	live  bool
	tenth int64
}

func newBar(w io.Writer, name string) *bar {
	return &bar{w: w, name: name, live: isTerminal(w), tenth: -1}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

const barWidth = 30

func (b *bar) show(total, left, forced int64, expected time.Time) {
	done := float64(1)
	if total > 0 {
		done = float64(total-left) / float64(total)
	}
	text := fmt.Sprintf("%3.0f %%  %d of %d left", 100*done, left, total)
	if forced > 0 {
		text += fmt.Sprintf(", %d at the deadline", forced)
	}
	if in := time.Until(expected); left > 0 && in > 0 {
		text += ", done in "
		if in < time.Second {
			text += took(in)
		} else {
			text += age(in)
		}
	}
	if b.live {
		full := int(done * barWidth)
		fmt.Fprintf(b.w, "\r\x1b[K%s  %s%s  %s", b.name, strings.Repeat("█", full), strings.Repeat("░", barWidth-full), text)
		return
	}
	if tenth := int64(done * 10); tenth != b.tenth {
		b.tenth = tenth
		fmt.Fprintf(b.w, "%s  %s\n", b.name, text)
	}
}

func (b *bar) end() {
	if b.live {
		fmt.Fprintln(b.w)
	}
}
