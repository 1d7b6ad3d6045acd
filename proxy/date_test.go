package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

func TestHTTPDate(t *testing.T) {
	at := time.Date(1994, time.November, 6, 8, 49, 37, 0, time.UTC)
	if got := string(httpDate(at)); got != "Sun, 06 Nov 1994 08:49:37 GMT" { // the RFC's example
		t.Errorf("date %q", got)
	}
	if got := string(httpDate(at.Add(time.Second))); got != "Sun, 06 Nov 1994 08:49:38 GMT" {
		t.Errorf("a second later: %q", got)
	}
}

// A backend's Date is kept as it is spelt; one is added where there is none.
func TestEveryAnswerHasOneDate(t *testing.T) {
	f := func(field, want string) {
		t.Helper()
		var h fasthttp.ResponseHeader
		h.DisableNormalizing()
		if field != "" {
			h.Set(field, "Sun, 06 Nov 1994 08:49:37 GMT")
		}
		cleanAnswer(&h)
		var dates []string
		for n, v := range h.All() {
			if strings.EqualFold(string(n), "date") {
				dates = append(dates, string(n)+": "+string(v))
			}
		}
		if len(dates) != 1 || !strings.HasPrefix(dates[0], want) {
			t.Errorf("field %q: dates %q, want one that begins with %q", field, dates, want)
		}
	}
	f("Date", "Date: Sun, 06 Nov 1994 08:49:37 GMT")
	f("date", "date: Sun, 06 Nov 1994 08:49:37 GMT")
	f("", "Date: ")
}
