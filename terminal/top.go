package terminal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
)

func newTop() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch pools and backends live",
		Long:  "Shows what status shows, once a second, with rates. Keys: s sorts otherwise, arrows scroll, q ends it.",
		Args:  NoArguments,
	}
	interval := cmd.Flags().Duration("interval", time.Second, "ask so often, 100ms or more")
	remote(cmd, func(ctx context.Context, c *client, _ []string) error {
		if *interval < 100*time.Millisecond {
			return fmt.Errorf("--interval %s is too short, write 100ms or more", *interval)
		}
		if !isTerminal(cmd.OutOrStdout()) {
			return errors.New("standard output is no terminal, use `holdfast status`")
		}
		first := look(ctx, c, 0)()
		if failed, no := first.(failure); no {
			return failed.error
		}
		return runTop(ctx, top{client: c, ctx: ctx, interval: *interval}.with(first.(sight)), cmd.InOrStdin(), cmd.OutOrStdout())
	})
	return cmd
}

func runTop(ctx context.Context, t top, in io.Reader, out io.Writer, more ...tea.ProgramOption) error {
	options := append(more, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out))
	_, err := tea.NewProgram(t, options...).Run()
	if ctx.Err() != nil {
		return nil // interrupted, which is how one leaves
	}
	return err
}

// sight is what there was at one moment.
type sight struct {
	status  admin.Status
	pools   []admin.Pool
	samples []admin.Sample // younger than those before
}

// failure is that there was no answer.
type failure struct{ error }

// look asks for everything, samples younger than after.
func look(ctx context.Context, c *client, after int64) tea.Cmd {
	return func() tea.Msg {
		var s sight
		var err error
		if s.status, err = c.status(ctx); err != nil {
			return failure{err}
		}
		if s.pools, err = c.pools(ctx); err != nil {
			return failure{err}
		}
		if s.samples, err = c.history(ctx, after); err != nil {
			return failure{err}
		}
		return s
	}
}

// tick is that it is time to look again.
type tick struct{}

// top is the program's whole state.
type top struct {
	ctx      context.Context
	client   *client
	interval time.Duration

	sight
	err    error // why the last look failed
	order  int   // in orders
	from   int   // first row that is shown
	width  int   // columns; 0: not known yet
	height int
}

// orders are how rows may be sorted; the first is the configuration's own.
var orders = []struct {
	name    string
	compare func(a, b *admin.Backend) int
}{
	{"configuration", nil},
	{"sockets", func(a, b *admin.Backend) int { return cmp.Compare(b.Active.Sockets, a.Active.Sockets) }},
	{"requests", func(a, b *admin.Backend) int { return cmp.Compare(b.Active.Requests, a.Active.Requests) }},
	{"name", func(a, b *admin.Backend) int { return cmp.Compare(a.Name, b.Name) }},
}

const samplesShown = 601

// with takes over what was seen.
func (t top) with(s sight) top {
	s.samples = append(slices.Clone(t.samples), s.samples...)
	s.samples = s.samples[max(0, len(s.samples)-samplesShown):]
	t.sight, t.err = s, nil
	return t
}

func (t top) Init() tea.Cmd { return t.wait() }

func (t top) wait() tea.Cmd {
	return tea.Tick(t.interval, func(time.Time) tea.Msg { return tick{} })
}

func (t top) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		t.width, t.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "esc", "ctrl+c":
			return t, tea.Quit
		case "s":
			t.order = (t.order + 1) % len(orders)
		case "down", "j":
			t.from++
		case "up", "k":
			t.from--
		case "pgdown", "space":
			t.from += t.rows()
		case "pgup":
			t.from -= t.rows()
		case "home", "g":
			t.from = 0
		}
		t.from = max(0, min(t.from, len(t.table())-t.rows()))
	case tick:
		after := int64(0)
		if n := len(t.samples); n > 0 {
			after = t.samples[n-1].At
		}
		return t, look(t.ctx, t.client, after)
	case failure:
		t.err = msg.error
		return t, t.wait()
	case sight:
		return t.with(msg), t.wait()
	}
	return t, nil
}

// row is a backend with its pool.
type row struct {
	pool string
	*admin.Backend
}

// table is every backend in the order that is asked for.
func (t top) table() []row {
	var rows []row
	for i := range t.pools {
		for k := range t.pools[i].Backends {
			rows = append(rows, row{t.pools[i].Name, &t.pools[i].Backends[k]})
		}
	}
	if compare := orders[t.order].compare; compare != nil {
		slices.SortStableFunc(rows, func(a, b row) int { return compare(a.Backend, b.Backend) })
	}
	return rows
}

// above and below are the lines that are no rows.
const above, below = 5, 2

// rows is how many of them fit.
func (t top) rows() int {
	if t.height == 0 {
		return 20
	}
	return max(1, t.height-above-below)
}

func (t top) View() tea.View {
	v := tea.NewView(t.text())
	v.AltScreen = true
	v.WindowTitle = "holdfast top"
	return v
}
