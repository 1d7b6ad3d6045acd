package health

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// reports is the header of an answer with these values, "" for none.
func reports(load, capacity, drain string) http.Header {
	h := http.Header{"Date": {"today"}}
	for name, value := range map[string]string{loadHeader: load, capacityHeader: capacity, drainHeader: drain} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return h
}

func TestReadReport(t *testing.T) {
	f := func(h http.Header, want LoadReport, wantTold bool, wantWrong string) {
		t.Helper()
		r, told, wrong, _ := readReport(h)
		if r != want || told != wantTold || wrong.header != wantWrong {
			t.Errorf("%v: %+v, told %t, wrong %q, want %+v, %t, %q", h, r, told, wrong.header, want, wantTold, wantWrong)
		}
	}
	none := LoadReport{Load: -1}
	f(reports("", "", ""), none, false, "")
	f(reports("0.7", "350", "1"), LoadReport{Load: 0.7, Capacity: 350, Drain: true}, true, "")
	f(reports(" 0 ", "", ""), LoadReport{}, true, "")
	f(reports("1", "", ""), LoadReport{Load: 1}, true, "")
	f(reports("7.5E-4", "", ""), LoadReport{Load: 7.5e-4}, true, "")
	f(reports("", "", "0"), none, true, "")
	f(reports("", "", "True"), LoadReport{Load: -1, Drain: true}, true, "")

	for _, load := range []string{"1.01", "-0.1", "70%", "NaN", "Inf", "0x1p-2", "1e999", "0,5", "e", "half", "1_0"} {
		f(reports(load, "350", ""), LoadReport{Load: -1, Capacity: 350}, true, loadHeader)
	}
	for _, capacity := range []string{"0", "-1", "3.5", "99999999999999999999", "many"} {
		f(reports("0.5", capacity, ""), LoadReport{Load: 0.5}, true, capacityHeader)
	}
	f(reports("", "", "yes"), none, false, drainHeader)
	f(reports("x", "x", "x"), none, false, loadHeader)
	f(http.Header{loadHeader: {"0.1", "0.9"}}, none, false, loadHeader)
	f(http.Header{drainHeader: {""}}, none, false, drainHeader)
}

func FuzzReadReport(f *testing.F) {
	f.Add("0.7", "350", "1")
	f.Add("1e-3", "0", "true")
	f.Fuzz(func(t *testing.T, load, capacity, drain string) {
		r, told, wrong, value := readReport(reports(load, capacity, drain))
		if r.Load != -1 && !(r.Load >= 0 && r.Load <= 1) || r.Capacity < 0 || r.Capacity > 1<<31 {
			t.Errorf("%+v", r)
		}
		if !told && (r != LoadReport{Load: -1}) {
			t.Errorf("%+v, but nothing was told", r)
		}
		if (wrong == garble{}) != (value == "") && strings.TrimSpace(value) != "" {
			t.Errorf("wrong is %+v with the value %q", wrong, value)
		}
	})
}

// What a backend says is believed until it says otherwise, or for three
// intervals without an answer. Only changes are logged.
func TestReportsAreBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var next atomic.Pointer[answer]
		r := newRig(func(context.Context) answer {
			a := *next.Load()
			a.at = time.Now()
			return a
		})
		defer r.Close()
		begun := false
		n := 0
		ask := func(a answer) *LoadReport {
			t.Helper()
			next.Store(&a)
			if !begun {
				begun = true
				r.Reconcile([]Target{r.target(func(t *Target) { t.Spec.LoadReports, t.Spec.Fall = true, 100 })})
			}
			for verdicts, _ := r.seen(); len(verdicts) == n; verdicts, _ = r.seen() {
				time.Sleep(time.Second)
			}
			n++
			return r.wantVerdicts(t, n)[n-1].Report
		}
		said := func(load string) answer { return answer{header: reports(load, "", "")} }
		silent := answer{err: finding("connection refused")}

		if got := ask(said("0.5")); got == nil || got.Load != 0.5 {
			t.Errorf("a report of 0.5 reads %+v", got)
		}
		if got := ask(said("0.25")); got == nil || got.Load != 0.25 {
			t.Errorf("a report of 0.25 reads %+v", got)
		}
		if got := ask(said("")); got != nil {
			t.Errorf("an answer without a report reads %+v", got)
		}
		refuses := said("0.75")
		refuses.err = finding("status 503")
		if got := ask(refuses); got == nil || got.Load != 0.75 {
			t.Errorf("a report in a bad answer reads %+v", got)
		}
		// Intervals are 9 to 11 seconds long.
		for i := range 2 {
			if got := ask(silent); got == nil || got.Load != 0.75 {
				t.Errorf("after %d probes without an answer the report is %+v", i+1, got)
			}
		}
		if got := ask(silent); got != nil {
			if got := ask(silent); got != nil {
				t.Errorf("after four probes without an answer the report is %+v", got)
			}
		}
		for _, load := range []string{"a", "b", "c"} {
			if got := ask(said(load)); got != nil {
				t.Errorf("a load of %s reads %+v", load, got)
			}
		}
		ask(silent)
		ask(said("d"))
		ask(said("0.1"))
		ask(said("0.2"))
		_, log := r.seen()
		if strings.Count(log, "makes no sense and is ignored") != 1 || !strings.Contains(log, "header=X-Holdfast-Load value=a") ||
			!strings.Contains(log, "code=HF-2012") || strings.Count(log, "makes sense again") != 1 {
			t.Errorf("the log is\n%s", log)
		}
	})
}

// Who does not listen hears nothing.
func TestReportsAreOptIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(func(context.Context) answer {
			a := passed("fine")
			a.header = reports("x", "350", "1")
			return a
		})
		defer r.Close()
		r.Reconcile([]Target{r.target(nil)})
		if got := r.wantVerdicts(t, 1)[0].Report; got != nil {
			t.Errorf("the report is %+v", got)
		}
		if _, log := r.seen(); strings.Contains(log, "report") {
			t.Errorf("the log is\n%s", log)
		}
	})
}

// A changed interval, which makes a new worker, forgets nothing.
func TestReportsOutliveReconcile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		header := reports("0.5", "", "1")
		r := newRig(func(context.Context) answer {
			a := passed("fine")
			if a.header = header; header == nil {
				a.err = finding("connection refused")
			}
			return a
		})
		defer r.Close()
		listens := func(t *Target) { t.Spec.LoadReports = true }
		r.Reconcile([]Target{r.target(listens)})
		r.wantVerdicts(t, 1)
		header = nil
		r.Reconcile([]Target{r.target(func(t *Target) { listens(t); t.Spec.Interval = 20 * time.Second })})
		time.Sleep(25 * time.Second)
		if got := r.wantVerdicts(t, 2)[1].Report; got == nil || got.Load != 0.5 || !got.Drain {
			t.Errorf("the report is %+v", got)
		}
	})
}

// Both kinds of probes that read answers find reports there, in bad ones too.
func TestCheckersReadReports(t *testing.T) {
	var status atomic.Int64
	status.Store(fasthttp.StatusOK)
	echo := testkit.Echo()
	b := testkit.StartBackend(t, func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set(loadHeader, "0.5")
		if status.Load() == fasthttp.StatusOK {
			echo(ctx)
			return
		}
		ctx.SetStatusCode(int(status.Load()))
	})
	f := func(kind string) {
		t.Helper()
		if _, a := probe(b.Addr, spec(kind, ample)); a.header.Get(loadHeader) != "0.5" {
			t.Errorf("%s, status %d: the header is %v, the error %v", kind, status.Load(), a.header, a.err)
		}
	}
	f("http")
	f("websocket")
	status.Store(fasthttp.StatusServiceUnavailable)
	f("http")
	f("websocket")
}
