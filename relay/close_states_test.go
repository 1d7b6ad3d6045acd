package relay

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// documentedEnds reads a table of doc.go, whose first row begins with head: the
// text of each row, by what happens.
func documentedEnds(t *testing.T, head string) map[string]string {
	t.Helper()
	const column = 22 // where the second one begins
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(doc), head)
	if !found {
		t.Fatalf("doc.go has no table that begins with %q", head)
	}
	rows, name := map[string]string{}, head
	for line := range strings.Lines(head + table) {
		line = strings.TrimSuffix(strings.TrimPrefix(line, "//\t"), "\n")
		if len(line) <= column || line[:2] == "//" {
			break
		}
		if first := strings.TrimSpace(line[:column]); first != "" {
			name = first
		}
		rows[name] += " " + strings.TrimSpace(line[column:])
	}
	return rows
}

// closing is a pair that one side, or Holdfast, is about to end.
type closing struct {
	t           *testing.T
	began       time.Time
	r           rig
	j           joined
	id          uint64
	side        int
	this, other *peer
	code        uint16 // what the Summary is to say, where the table leaves it open
	reason      string
	by          time.Time // both have answered by then, or may have been cut; zero: any time
}

// sees reads the end of a stream.
func (c *closing) sees(p *peer, end error) {
	c.t.Helper()
	late := !c.by.IsZero() && time.Now().After(c.by)
	if err := expectEnd(c.t, p); !errors.Is(err, end) && !late {
		c.t.Errorf("it sees %v, want %v", err, end)
	}
}

// passes has a side say something that the other one reads.
func (c *closing) passes(from int) {
	c.t.Helper()
	p, q := c.j.client, c.j.backend
	if from == Backend {
		p, q = q, p
	}
	frame := mine(from, opText, "hello")
	send(c.t, p, frame)
	expect(c.t, q, string(frame))
}

// settle leaves nothing on its way to the other side: what it says last
// acknowledges what it has read.
func (c *closing) settle() {
	c.t.Helper()
	c.passes(c.side)
	c.passes(1 - c.side)
}

// ended is a FIN of one side, and what the other still says.
func (c *closing) ended(fin error) {
	c.t.Helper()
	if fin != nil {
		c.t.Fatal(fin)
	}
	c.sees(c.other, io.EOF)
	c.passes(1 - c.side)
	_ = c.other.CloseWrite()
	c.sees(c.this, io.EOF)
}

// told is a Close of ours to both sides, which answer, and read their FIN.
func (c *closing) told(f *Fault) {
	c.t.Helper()
	c.by = c.began.Add(lastWords)
	expectClose(c.t, c.j.client, Client, f)
	expectClose(c.t, c.j.backend, Backend, f)
	for side, p := range []*peer{c.j.client, c.j.backend} {
		_, _ = p.Write(mine(side, opClose, "\x03\xe8"))
	}
	c.sees(c.j.client, io.EOF)
	c.sees(c.j.backend, io.EOF)
}

// ending brings about what a row of the table in doc.go is about, and reads what
// the row says.
type ending struct {
	row    string
	edit   func(k *Call, side int)
	unless func(c *closing) bool // where the row means nothing
	end    func(c *closing)
}

// closeStates has one for each row at least; the last one ends all pairs.
var closeStates = []ending{
	{row: "a side's Close", end: func(c *closing) {
		c.code = 4000
		bye := appendClose(nil, 1-c.side, c.code, "enough")
		send(c.t, c.this, bye)
		expect(c.t, c.other, string(bye))
		answer := appendClose(nil, c.side, c.code, "")
		send(c.t, c.other, answer)
		expect(c.t, c.this, string(answer))
		_ = c.this.CloseWrite()
		c.sees(c.other, io.EOF)
		c.sees(c.this, io.EOF)
	}},
	{row: "a side's Close", end: func(c *closing) {
		c.code = 1005
		bye := mine(c.side, opClose, "")
		send(c.t, c.this, bye)
		expect(c.t, c.other, string(bye))
		send(c.t, c.other, mine(1-c.side, opClose, ""))
		_ = c.other.CloseWrite()
		expect(c.t, c.this, string(mine(1-c.side, opClose, "")))
		c.sees(c.other, io.EOF)
		c.sees(c.this, io.EOF)
	}},
	{row: "a side's FIN", end: func(c *closing) { c.ended(c.this.CloseWrite()) }},
	{row: "a side's FIN", unless: plain, end: func(c *closing) { c.ended(c.this.tcp.CloseWrite()) }},
	{row: "a side's FIN", unless: plain, end: func(c *closing) { c.ended(c.this.Conn.(*tls.Conn).CloseWrite()) }},
	{row: "a side's RST", end: func(c *closing) {
		c.settle()
		c.this.reset()
		c.sees(c.other, syscall.ECONNRESET)
	}},
	{row: "a side's TLS fails", unless: func(c *closing) bool { return plain(c) || portableEngine(c) }, end: func(c *closing) {
		c.settle()
		send(c.t, c.this.tcp, append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...))
		var alert tls.AlertError
		if err := expectEnd(c.t, c.this); !errors.As(err, &alert) && !strings.Contains(err.Error(), "tls: ") {
			c.t.Errorf("it sees %v, want an alert", err)
		}
		c.sees(c.other, syscall.ECONNRESET)
	}},
	{row: "End, Farewell", end: func(c *closing) {
		c.code, c.reason = 4001, "enough"
		c.r.End(c.id, c.code, c.reason, 10*time.Second)
		expectClose(c.t, c.j.client, Client, &Fault{c.code, c.reason})
		c.passes(Client)
		answer := mine(Client, opClose, "\x0f\xa1")
		send(c.t, c.j.client, answer)
		expect(c.t, c.j.backend, string(answer))
		_ = c.j.client.CloseWrite()
		_ = c.j.backend.CloseWrite()
		c.sees(c.j.client, io.EOF)
		c.sees(c.j.backend, io.EOF)
	}},
	{row: "End, Farewell", end: func(c *closing) {
		c.code, c.reason = 4001, "enough"
		c.r.End(c.id, c.code, c.reason, 10*time.Second)
		expectClose(c.t, c.j.client, Client, &Fault{c.code, c.reason})
		_ = c.j.client.CloseWrite()
		expectClose(c.t, c.j.backend, Backend, &Fault{c.code, c.reason})
		_ = c.j.backend.CloseWrite()
		c.sees(c.j.client, io.EOF)
		c.sees(c.j.backend, io.EOF)
	}},
	{row: "silence for Idle", edit: func(k *Call, _ int) { k.Idle = 100 * time.Millisecond }, end: func(c *closing) {
		c.by = c.began.Add(lastWords)
		expectClose(c.t, c.j.client, Client, faultIdle)
		_ = c.j.client.CloseWrite()
		expectClose(c.t, c.j.backend, Backend, faultIdle)
		_ = c.j.backend.CloseWrite()
		c.sees(c.j.client, io.EOF)
		c.sees(c.j.backend, io.EOF)
	}},
	{row: "a broken rule", edit: func(k *Call, _ int) { k.Guard = &Guard{} }, end: func(c *closing) {
		fault := faultUnmasked
		if c.side == Backend {
			fault = faultMasked
		}
		c.code, c.reason = fault.Code, fault.Reason
		send(c.t, c.this, mine(1-c.side, opText, "masked as by the other"))
		c.told(fault)
	}},
	{row: "Relay.Close", end: func(c *closing) {
		c.r.Close()
		c.sees(c.j.client, io.EOF)
		c.sees(c.j.backend, io.EOF)
	}},
}

func plain(c *closing) bool          { return !c.r.tls[c.side] }
func portableEngine(c *closing) bool { _, ok := c.r.engines[0].(*portable); return ok }

// heldElsewhere are the rows that other tests hold.
var heldElsewhere = map[string]func(*testing.T){
	"a side takes nothing": TestBackPressure,
	"client's early end":   TestClientLeavesWhileItsBackendIsDialled,
	"no answer to Pings":   TestSilence,
}

// TestCloseStates holds both tables of doc.go: whoever ends a pair, what each
// side then reads, and what the Summary says.
func TestCloseStates(t *testing.T) {
	t.Parallel()
	seen, said := documentedEnds(t, "a side's Close        the other"), documentedEnds(t, "a side's Close        that side")
	for _, e := range closeStates {
		if seen[e.row] == "" || said[e.row] == "" {
			t.Fatalf("doc.go says nothing of %q", e.row)
		}
	}
	for row := range seen {
		held := heldElsewhere[row] != nil
		for _, e := range closeStates {
			held = held || e.row == row
		}
		if !held {
			t.Errorf("nothing holds what doc.go says of %q", row)
		}
	}
	engines(t, func(t *testing.T, r rig) {
		t.Run("pairs", func(t *testing.T) {
			for i := range closeStates[:len(closeStates)-1] {
				for side, name := range []string{"client", "backend"} {
					t.Run(fmt.Sprintf("%d, %s", i, name), func(t *testing.T) {
						t.Parallel()
						closeStates[i].hold(t, r, side, said)
					})
				}
			}
		})
		closeStates[len(closeStates)-1].hold(t, r, Client, said) // it closes the relay
	})
}

// hold has a pair end so, by that side, and compares.
func (e *ending) hold(t *testing.T, r rig, side int, said map[string]string) {
	t.Helper()
	c := &closing{t: t, began: time.Now(), r: r, id: NewID(), side: side}
	if e.unless != nil && e.unless(c) {
		return
	}
	c.j = r.join(t, func(k *Call) {
		k.ID = c.id
		if e.edit != nil {
			e.edit(k, side)
		}
	})
	c.this, c.other = c.j.client, c.j.backend
	if side == Backend {
		c.this, c.other = c.other, c.this
	}
	e.end(c)
	_, _ = c.this.Close(), c.other.Close()
	c.summary(e.row, said[e.row])
}

// summary compares what the pair was with a row of the table.
func (c *closing) summary(row, said string) {
	c.t.Helper()
	s := within(c.t, "Closed", c.j.owner.closed)
	ender := ByHoldfast
	if strings.HasPrefix(strings.TrimSpace(said), "that side") {
		ender = [2]Ender{ByClient, ByBackend}[c.side]
	}
	if parts := strings.Split(said, `"`); len(parts) == 3 {
		c.reason = parts[1]
	}
	for text, code := range map[string]uint16{"1001": 1001, "1006": 1006} {
		if strings.Contains(said, text) {
			c.code = code
		}
	}
	if s.Ender != ender || s.Reason != c.reason || s.Code != c.code {
		c.t.Errorf("%s, side %d: the summary says %v, %q and %d; want %v, %q and %d", row, c.side, s.Ender, s.Reason, s.Code, ender, c.reason, c.code)
	}
}
