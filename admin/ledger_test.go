package admin

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// sockets is a ledger of n sockets in no order: number i belongs to pool a or
// b, to one of four backends, comes from 10.0.(i/256).(i%256), and has one of
// ten keys.
func sockets(n int) Ledger {
	order := rand.Perm(n)
	return Ledger{
		Each: func(yield func(*Socket) bool) {
			for _, i := range order {
				number := uint64(i + 1)
				one := Socket{
					Number: number, Pool: string(rune('a' + number%2)), Backend: fmt.Sprint("s", number%4),
					Client: netip.AddrFrom4([4]byte{10, 0, byte(number / 256), byte(number)}), Key: fmt.Sprint("#", number%10),
				}
				if !yield(&one) {
					return
				}
			}
		},
		HashKey: func(key string) string { return "#" + key },
	}
}

// readPage asks for one page.
func readPage(t *testing.T, base, query string) (page SocketPage) {
	t.Helper()
	resp, body := do(t, "GET", base+"/api/v1/sockets?"+query, nil)
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %d %s", query, resp.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatalf("%s: %v in %s", query, err, body)
	}
	return page
}

// All pages together have every socket that the filter lets through, once, in
// order.
func TestLedgerPages(t *testing.T) {
	const all = 1234
	base := serving(t, Options{Ledger: sockets(all), Run: "r"})
	f := func(query string, limit, want int, matches func(n int) bool) {
		t.Helper()
		var ids []string
		cursor := ""
		for pages := 0; ; pages++ {
			page := readPage(t, base, fmt.Sprintf("%s&limit=%d&cursor=%s", query, limit, cursor))
			if page.Matched != want || len(page.Sockets) > limit || pages > all {
				t.Fatalf("%s: page %d has %d sockets, %d matched, want %d", query, pages, len(page.Sockets), page.Matched, want)
			}
			for _, one := range page.Sockets {
				ids = append(ids, one.ID)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		i := 0
		for n := 1; n <= all; n++ {
			if !matches(n) {
				continue
			}
			if i >= len(ids) || ids[i] != fmt.Sprint("r-", n) {
				t.Fatalf("%s: socket %d of %d is not %d", query, i, len(ids), n)
			}
			i++
		}
		if i != len(ids) || i != want {
			t.Errorf("%s: %d sockets, %d of them expected", query, len(ids), i)
		}
	}

	every := func(int) bool { return true }
	f("", 1000, all, every)
	f("", 100, all, every)
	f("", 617, all, every) // two full pages
	f("", 7, all, every)
	f("pool=a", 100, 617, func(n int) bool { return n%2 == 0 })
	f("pool=a&backend=s2", 50, 309, func(n int) bool { return n%4 == 2 })
	f("pool=b&backend=s2", 50, 0, func(int) bool { return false })
	f("key=3", 50, 124, func(n int) bool { return n%10 == 3 })
	f("address=10.0.1.0/24", 50, 256, func(n int) bool { return n/256 == 1 })
	f("address=10.0.1.7", 50, 1, func(n int) bool { return n == 263 })
	f("address=::ffff:10.0.1.7", 50, 1, func(n int) bool { return n == 263 })
	f("address=2001:db8::/32", 50, 0, func(int) bool { return false })
}

func TestLedgerQueries(t *testing.T) {
	base := serving(t, Options{Ledger: sockets(3), Run: "r"})
	f := func(query string, status int, want string) {
		t.Helper()
		resp, body := do(t, "GET", base+"/api/v1/sockets"+query, nil)
		if resp.StatusCode != status || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %d %s", query, resp.StatusCode, body, status, want)
		}
	}

	f("", 200, `"matched":3`)
	f("?pool=none", 200, `{"sockets":[],"matched":0}`)
	f("?cursor=r-2", 200, `"id":"r-3"`)
	f("?cursor=x-2", 400, `"code":"bad_value"`)
	f("?cursor=2", 400, `"code":"bad_value"`)
	f("?address=here", 400, `"code":"bad_value"`)
	f("?limit=0", 400, `"code":"bad_value"`)
	f("?limit=1001", 400, `"code":"bad_value"`)
	f("?limit=x", 400, `"code":"bad_value"`)
	f("/r-2", 200, `"pool":"a"`)
	f("/r-4", 404, `"code":"no_socket"`)
	f("/x-2", 404, `"code":"no_socket"`)
	f("/2", 404, `"code":"no_socket"`)

	none := serving(t, Options{})
	if resp, _ := do(t, "GET", none+"/api/v1/sockets", nil); resp.StatusCode != 501 {
		t.Errorf("without a ledger: %d, want 501", resp.StatusCode)
	}
}

func TestSocketIsClosed(t *testing.T) {
	type order struct {
		number uint64
		code   uint16
		reason string
	}
	var got order
	base := serving(t, Options{Run: "r", Ledger: Ledger{Close: func(number uint64, code uint16, reason string) bool {
		got = order{number, code, reason}
		return number == 7
	}}})
	f := func(path string, status int, want order) {
		t.Helper()
		got = order{}
		resp, body := do(t, http.MethodDelete, base+"/api/v1/sockets/"+path, nil)
		if resp.StatusCode != status || got != want {
			t.Errorf("DELETE %s: %d %+v, want %d %+v (%s)", path, resp.StatusCode, got, status, want, body)
		}
	}

	f("r-7", 202, order{7, 1008, "closed by the operator"})
	f("r-7?code=4000&reason=cheating", 202, order{7, 4000, "cheating"})
	f("r-8", 404, order{8, 1008, "closed by the operator"})
	f("x-7", 404, order{})
	for _, code := range []string{"0", "999", "1004", "1005", "1006", "1015", "2999", "5000", "-1", "x", "65536"} {
		f("r-7?code="+code, 400, order{})
	}
	for _, code := range []uint16{1000, 1001, 1003, 1007, 1012, 1014, 3000, 4999} {
		f("r-7?reason=r&code="+strconv.Itoa(int(code)), 202, order{7, code, "r"})
	}
	f("r-7?reason="+strings.Repeat("x", 124), 400, order{})
	f("r-7?reason=%ff", 400, order{})
}
