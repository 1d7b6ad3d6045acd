package terminal

import (
	"fmt"
	"strings"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// Colours of a terminal's own palette.
const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	blue   = "\x1b[36m"
	faint  = "\x1b[2m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// text is the whole screen.
func (t top) text() string {
	width := t.width
	if width == 0 {
		width = 100
	}
	rows := t.table()
	first := max(0, min(t.from, len(rows)-t.rows()))
	shown := rows[first:min(len(rows), first+t.rows())]
	var b strings.Builder
	t.head(&b, rows, width)
	pool, name, load := widths(rows, width)
	fmt.Fprintf(&b, "%s%s %s %-11s %8s %8s  %s  %s%s\n", faint, fit("POOL", pool), fit("BACKEND", name), "STATE", "SOCKETS", "REQUESTS",
		fit("LOAD", load), "WHY", plain)
	most := int64(1)
	for _, r := range rows {
		most = max(most, r.carries())
	}
	for _, r := range shown {
		state, colour := r.state()
		limit := most
		if n := limitOf(r.Backend); n > 0 {
			limit = int64(n)
		}
		rest := max(0, width-pool-name-load-36)
		fmt.Fprintf(&b, "%s %s %s%-11s%s %8d %8d  %s%s%s  %s%s%s\n", fit(r.pool, pool), fit(r.Name, name), colour, state, plain,
			r.Active.Sockets, r.Active.Requests, colour, gauge(r.carries(), limit, load), plain, faint, fit(why(r.Backend, t.status), rest), plain)
	}
	b.WriteString(strings.Repeat("\n", max(0, t.rows()-len(shown))))
	more := ""
	if len(shown) < len(rows) {
		more = fmt.Sprintf("%d to %d of %d backends, arrows scroll. ", first+1, first+len(shown), len(rows))
	}
	fmt.Fprintf(&b, "\n%s%sSorted by %s. s sorts otherwise, q ends.%s", faint, more, orders[t.order].name, plain)
	return b.String()
}

// head is what is above the table: the process, the totals, the last minutes.
func (t top) head(b *strings.Builder, rows []row, width int) {
	down := 0
	for _, r := range rows {
		if !r.Retired && r.State == admin.Down {
			down++
		}
	}
	condition, colour := "healthy", green
	switch err := verdict(&t.status, t.pools); {
	case t.err != nil:
		condition, colour = t.err.Error(), red
	case err != nil:
		condition, colour = err.Error(), red
	case down > 0:
		condition, colour = fmt.Sprintf("%d of %s down", down, spelling.Count(len(rows), "backend")), yellow
	}
	fmt.Fprintf(b, "%sholdfast%s %s  %sup %s%s  %s%s%s\n", bold, plain, t.client.base.Host,
		faint, age(t.status.Now.Sub(t.status.Began)), plain, colour, fit(condition, max(10, width-len(t.client.base.Host)-22)), plain)
	now, frames, bytes := t.rates()
	fmt.Fprintf(b, "%s%d%s sockets  %s%d%s requests  frames/s %s%.0f%s in %s%.0f%s out  %s/s in %s/s out\n", bold, now.Active.Sockets, plain,
		bold, now.Active.Requests, plain, green, frames[0], plain, blue, frames[1], plain, size(uint64(bytes[0])), size(uint64(bytes[1])))
	sockets := make([]float64, len(t.samples))
	for i, s := range t.samples {
		sockets[i] = float64(s.Active.Sockets)
	}
	fmt.Fprintf(b, "%s%s%s\n\n", green, sparkline(sockets, width), plain)
}

// rates are the newest sample and what has passed in the second before it,
// from clients and to them.
func (t top) rates() (now admin.Sample, frames, bytes [2]float64) {
	n := len(t.samples)
	if n == 0 {
		return now, frames, bytes
	}
	now = t.samples[n-1]
	if n == 1 {
		return now, frames, bytes
	}
	was := t.samples[n-2]
	seconds := max(.001, float64(now.At-was.At)/1000)
	since := func(now, was uint64) float64 { return float64(now-min(now, was)) / seconds } // a new process begins at 0
	frames = [2]float64{since(now.ClientToBackend.Frames, was.ClientToBackend.Frames), since(now.BackendToClient.Frames, was.BackendToClient.Frames)}
	bytes = [2]float64{since(now.ClientToBackend.Bytes, was.ClientToBackend.Bytes), since(now.BackendToClient.Bytes, was.BackendToClient.Bytes)}
	return now, frames, bytes
}

func (r row) carries() int64 { return r.Active.Sockets + r.Active.Requests + r.Active.Handshakes }

// state is a word and its colour.
func (r row) state() (word, colour string) {
	switch {
	case r.Retired:
		return "retired", faint
	case r.Mode == "drain", r.Mode == "ready" && r.AsksDrain():
		return "draining", yellow
	case r.Mode == "maintenance":
		return "maintenance", faint
	case r.State == admin.Down:
		return "down", red
	}
	return "up", green
}

func why(b *admin.Backend, st admin.Status) string {
	text := b.Why
	if !b.Since.IsZero() {
		text = age(st.Now.Sub(b.Since)) + ", " + text
	}
	if r := b.Report; r != nil && r.Load != nil {
		text = fmt.Sprintf("%.0f%% full, ", 100**r.Load) + text
	}
	if d := b.Drain; d != nil {
		text = fmt.Sprintf("%d of %d left, ", d.Left, d.Sockets) + text
	}
	return text
}

// limitOf is how much a backend can carry, by the configuration and by its own
// account; 0: nobody says.
func limitOf(b *admin.Backend) int {
	if r := b.Report; r != nil && r.Capacity > 0 && (b.MaxConnections == 0 || r.Capacity < b.MaxConnections) {
		return r.Capacity
	}
	return b.MaxConnections
}

// widths shares a line between the columns that can be wide.
func widths(rows []row, width int) (pool, name, load int) {
	pool, name = 4, 7
	for _, r := range rows {
		pool, name = max(pool, len([]rune(r.pool))), max(name, len([]rune(r.Name)))
	}
	spare := max(20, width-36)
	pool, name = min(pool, spare/4), min(name, spare/3)
	return pool, name, min(20, max(5, spare/5))
}

// fit makes text as wide as n columns.
func fit(text string, n int) string {
	runes := []rune(text)
	if len(runes) > n {
		return string(runes[:max(0, n-1)]) + strings.Repeat("…", min(n, 1))
	}
	return text + strings.Repeat(" ", n-len(runes))
}

// gauge is a bar of n columns.
func gauge(value, most int64, n int) string {
	full := min(n, max(0, int(float64(n)*float64(value)/float64(max(1, most))+.5)))
	return strings.Repeat("█", full) + strings.Repeat("░", n-full)
}

// sparkline is the values in n columns, the newest on the right.
func sparkline(values []float64, n int) string {
	const levels = "▁▂▃▄▅▆▇█"
	marks := []rune(levels)
	if len(values) == 0 {
		return strings.Repeat(" ", n)
	}
	var b strings.Builder
	each := max(1, (len(values)+n-1)/n) // samples a column
	var columns []float64
	for i := len(values); i > 0; i -= each {
		top := 0.0
		for _, v := range values[max(0, i-each):i] {
			top = max(top, v)
		}
		columns = append(columns, top)
	}
	most := 1.0
	for _, v := range columns {
		most = max(most, v)
	}
	b.WriteString(strings.Repeat(" ", max(0, n-len(columns))))
	for i := min(len(columns), n) - 1; i >= 0; i-- {
		b.WriteRune(marks[int(columns[i]/most*float64(len(marks)-1)+.5)])
	}
	return b.String()
}
