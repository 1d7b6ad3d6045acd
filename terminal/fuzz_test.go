package terminal

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-lb/holdfast/admin"
)

// FuzzAnswers: whatever an admin address says of itself, the table and the
// screen are made of it, in as many lines as there is room for, and nothing
// steers the terminal but what is ours.
func FuzzAnswers(f *testing.F) {
	add := func(st admin.Status, pools ...admin.Pool) {
		a, errA := json.Marshal(st)
		b, errB := json.Marshal(pools)
		c, errC := json.Marshal([]admin.Sample{{At: 1}, {At: 1}})
		if errA != nil || errB != nil || errC != nil {
			f.Fatal(errA, errB, errC)
		}
		f.Add(a, b, c, 80, 24)
	}
	full := backend("a-1", -5)
	full.Report, full.Ejected = &admin.LoadReport{Capacity: -1}, &admin.Ejection{Ignored: true}
	full.Why = "\x1b[2J\nnot found"
	gone := draining("old", 5, 3, 1)
	gone.Retired = true
	add(admin.Status{Ready: true}, pool("arena", backend("a-1", 3), gone), pool("", full))
	add(admin.Status{Reason: "\x1b]0;x\x07", Configuration: admin.Configuration{Refused: []string{"a", "b\n"}}})
	f.Add([]byte(`{}`), []byte(`[{"name":"x","discovery":{"trouble":"\u009b2J"},"backends":[{"active":{"sockets":9223372036854775807},"weight":-1}]}]`),
		[]byte(`[{"at":-9223372036854775808},{"active":{"sockets":-1},"at":9223372036854775807}]`), 1, 1)
	f.Fuzz(func(t *testing.T, status, pools, samples []byte, width, height int) {
		var s sight
		if json.Unmarshal(status, &s.status) != nil || json.Unmarshal(pools, &s.pools) != nil || json.Unmarshal(samples, &s.samples) != nil {
			return
		}
		tame(reflect.ValueOf(&s.status))
		tame(reflect.ValueOf(&s.pools))
		var table bytes.Buffer
		if err := writeStatus(&table, &s.status, s.pools); err != nil {
			t.Fatal(err)
		}
		steers := func(text string) bool {
			for _, own := range []string{green, yellow, red, blue, faint, bold, plain} {
				text = strings.ReplaceAll(text, own, "")
			}
			return strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0) })
		}
		lines := 3 // the head, and what is below
		for _, p := range s.pools {
			lines += len(p.Backends)
			if p.Discovery != nil && p.Discovery.Trouble != "" {
				lines += 2
			}
		}
		if steers(table.String()) || strings.Count(table.String(), "\n") != lines {
			t.Errorf("the table is %q", table.String())
		}
		screen := top{client: &client{base: &url.URL{Host: "a:1"}}, width: max(0, width%500), height: max(0, height%200)}.with(s)
		for range orders {
			text := screen.text()
			if steers(text) || !utf8.ValidString(text) || strings.Count(text, "\n")+1 > screen.rows()+above+below {
				t.Errorf("%d × %d: the screen is %q", screen.width, screen.height, text)
			}
			screen.order = (screen.order + 1) % len(orders)
		}
	})
}
