package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// checkFunc is a checker without a network.
type checkFunc func(ctx context.Context) answer

func (f checkFunc) check(ctx context.Context) answer { return f(ctx) }

// always answers with err, nil to pass.
func always(err error) checkFunc {
	return func(context.Context) answer {
		if err != nil {
			return failed(err)
		}
		return passed("fine")
	}
}

// hang answers when its time is up.
func hang(ctx context.Context) answer { <-ctx.Done(); return failed(ctx.Err()) }

// rig is a Prober whose checks are functions, and what it reported and logged.
type rig struct {
	*Prober
	check checkFunc // for all targets; set before Reconcile

	log testkit.Log

	mu       sync.Mutex
	verdicts []Verdict // to the Report of target
}

func (r *rig) report(v Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts = append(r.verdicts, v)
}

// seen waits for all goroutines to rest and returns what they have left.
func (r *rig) seen() (verdicts []Verdict, log string) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.verdicts), r.log.String()
}

func newRig(check checkFunc) *rig {
	r := &rig{check: check}
	r.Prober = NewProber(slog.New(slog.NewTextHandler(&r.log, nil)))
	r.newChecker = func(Target) checker { return r.check }
	return r
}

func (r *rig) target(change func(*Target)) Target {
	t := Target{
		ID: "arena http a:1", Pool: "arena", Backend: "arena-1", Scheme: "http", Address: "a:1",
		Spec: config.Health{Type: "http", Interval: 10 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3},
	}
	t.Report = r.report
	if change != nil {
		change(&t)
	}
	return t
}

// wantVerdicts returns the verdicts so far, which must be n.
func (r *rig) wantVerdicts(t *testing.T, n int) []Verdict {
	t.Helper()
	got, _ := r.seen()
	if len(got) != n {
		t.Fatalf("%d verdicts, want %d: %+v", len(got), n, got)
	}
	return got
}

func TestProberRhythm(t *testing.T) {
	f := func(takes, wantMin, wantMax time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var running, starts atomic.Int32
			var last time.Time
			gaps := map[time.Duration]bool{}
			begin := time.Now()
			r := newRig(func(context.Context) answer {
				if running.Add(1) != 1 {
					t.Error("two probes at a time")
				}
				now := time.Now()
				if starts.Add(1) == 1 {
					if now != begin {
						t.Errorf("first probe after %v, want at once", now.Sub(begin))
					}
				} else if gap := now.Sub(last); gap < wantMin || gap > wantMax {
					t.Errorf("%v between probes, want %v to %v", gap, wantMin, wantMax)
				} else {
					gaps[gap] = true
				}
				last = now
				time.Sleep(takes)
				running.Add(-1)
				return passed("fine")
			})
			defer r.Close()
			r.Reconcile([]Target{r.target(func(t *Target) { t.Spec.Timeout = time.Hour })})
			time.Sleep(100 * wantMax)
			r.Close()
			if n := int(starts.Load()); n < 100 {
				t.Errorf("%d probes, want 100 or more", n)
			}
			if wantMin != wantMax && len(gaps) < 50 {
				t.Errorf("only %d different intervals: no jitter", len(gaps))
			}
		})
	}
	f(0, 9*time.Second, 11*time.Second)
	f(5*time.Second, 9*time.Second, 11*time.Second) // measured from start to start
	f(30*time.Second, 30*time.Second, 30*time.Second)
}

// A machine without descriptors takes no backend down: its probes fail, and
// count neither for nor against.
func TestProberPassesOverWhatThisMachineLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lacking := error(&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)})
		broken := errors.New("broken")
		outcomes := []error{nil, lacking, lacking, lacking, lacking, broken, lacking, broken, lacking, broken}
		n := 0
		r := newRig(func(ctx context.Context) answer {
			n++
			return always(outcomes[min(n, len(outcomes))-1])(ctx)
		})
		r.Reconcile([]Target{r.target(nil)})
		time.Sleep(time.Duration(len(outcomes)) * 11 * time.Second)
		r.Close()
		verdicts, _ := r.seen()
		last := len(outcomes) - 1
		if v := verdicts[last-1]; !v.Up || v.OK || v.Why != "holdfast is out of descriptors" {
			t.Errorf("after two failures of three: %+v", v)
		}
		if v := verdicts[last]; v.Up || !v.Changed {
			t.Errorf("the third failure of the backend's own: %+v", v)
		}
	})
}

func TestProberIntervalOfZeroDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(always(nil))
		defer r.Close()
		r.Reconcile([]Target{r.target(func(t *Target) { t.Spec.Interval = 0 })})
		time.Sleep(time.Second)
		verdicts, _ := r.seen()
		if n := len(verdicts); n < 80 || n > 120 {
			t.Fatalf("%d probes in a second, want about 100", n)
		}
	})
}

func TestProberVerdictsAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := []error{nil, nil, nil, finding("status 503, expected 200-399"), context.DeadlineExceeded, finding("pong missing"), nil, nil, nil}
		next := 0
		r := newRig(func(ctx context.Context) answer {
			err := script[next]
			next++
			if err == context.DeadlineExceeded {
				return hang(ctx)
			}
			time.Sleep(time.Millisecond)
			return always(err)(ctx)
		})
		defer r.Close()
		begin := time.Now()
		r.Reconcile([]Target{r.target(nil)})
		for verdicts, _ := r.seen(); len(verdicts) < len(script); verdicts, _ = r.seen() {
			time.Sleep(time.Second)
		}
		r.Close()
		verdicts, log := r.seen()
		var got []string
		for _, v := range verdicts {
			got = append(got, fmt.Sprintf("%s %v %s %v", state(v.Changed, v.Up), v.OK, v.Why, v.Latency))
		}
		want := strings.Join([]string{
			"U true fine 1ms",
			"u true fine 1ms",
			"u true fine 1ms",
			"u false status 503, expected 200-399 1ms",
			"u false timeout after 1s 1s",
			"D false pong missing 1ms",
			"d true fine 1ms",
			"U true fine 1ms",
			"u true fine 1ms",
		}, "\n")
		if strings.Join(got, "\n") != want {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
		if at := verdicts[0].At; at != begin.Add(time.Millisecond) {
			t.Fatalf("first verdict at %v, want %v", at, begin.Add(time.Millisecond))
		}

		lines := strings.Split(strings.TrimSpace(log), "\n")
		wantLines := []string{
			`level=INFO msg="backend up" pool=arena backend=arena-1 address=a:1 check=http why=fine probes=1`,
			`level=WARN msg="backend down" pool=arena backend=arena-1 address=a:1 check=http why="pong missing" probes=3 code=HF-2009 cause="`,
			`level=INFO msg="backend up" pool=arena backend=arena-1 address=a:1 check=http why=fine probes=2`,
		}
		if len(lines) != len(wantLines) {
			t.Fatalf("%d lines in the log, want %d:\n%s", len(lines), len(wantLines), log)
		}
		for i, line := range lines {
			if !strings.Contains(line, wantLines[i]) {
				t.Errorf("line %d is %s, want %s", i, line, wantLines[i])
			}
		}
	})
}

func TestReconcileUnchangedKeepsRhythmAndTakesNewReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(always(errors.New("no")))
		defer r.Close()
		r.Reconcile([]Target{r.target(func(t *Target) { t.InitialUp = true })})
		first := r.wantVerdicts(t, 1)[0].At
		later := newRig(nil)
		for range 8 { // every second, short of the next probe
			time.Sleep(time.Second)
			r.Reconcile([]Target{r.target(func(t *Target) {
				t.Backend = "renamed"
				t.Report = later.report
			})})
		}
		time.Sleep(15 * time.Second)
		r.wantVerdicts(t, 1)
		late := later.wantVerdicts(t, 2)
		if gap := late[0].At.Sub(first); gap < 9*time.Second || gap > 11*time.Second {
			t.Fatalf("second probe after %v: reconciling disturbed the rhythm", gap)
		}
		_, log := r.seen()
		if !late[1].Changed || !strings.Contains(log, "backend=renamed") {
			t.Fatalf("third failure gave %+v, log %q", late[1], log)
		}
	})
}

func TestReconcileChangedSpecKeepsStateAndCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(always(errors.New("no")))
		defer r.Close()
		r.Reconcile([]Target{r.target(func(t *Target) { t.InitialUp = true })})
		first := r.wantVerdicts(t, 1)[0].At

		time.Sleep(time.Second)
		r.Reconcile([]Target{r.target(func(t *Target) { t.Spec.Interval = 4 * time.Second })})
		r.wantVerdicts(t, 1) // not due yet
		time.Sleep(4 * time.Second)
		if gap := r.wantVerdicts(t, 2)[1].At.Sub(first); gap < 3600*time.Millisecond || gap > 4400*time.Millisecond {
			t.Fatalf("second probe after %v, want one new interval after the first", gap)
		}

		time.Sleep(2 * time.Second)
		r.Reconcile([]Target{r.target(func(t *Target) { t.Spec.Interval = time.Second })})
		// Overdue by the new interval.
		if v := r.wantVerdicts(t, 3)[2]; !v.Changed || v.Up {
			t.Fatalf("third failure in a row gave %+v, want a flip", v)
		}
	})
}

func TestReconcileChangedSpecDropsProbeUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(hang)
		defer r.Close()
		r.Reconcile([]Target{r.target(nil)})
		synctest.Wait()
		r.check = always(nil)
		r.Reconcile([]Target{r.target(func(t *Target) { t.Spec.Path = "/better" })})
		if v := r.wantVerdicts(t, 1)[0]; !v.OK || v.Latency != 0 {
			t.Fatalf("got %+v, want the new check's verdict at once", v)
		}
	})
}

func TestReconcileOtherAddressStartsAnew(t *testing.T) {
	f := func(change func(*Target)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(always(errors.New("no")))
			defer r.Close()
			r.Reconcile([]Target{r.target(nil)})
			r.wantVerdicts(t, 1)
			r.Reconcile([]Target{r.target(func(t *Target) { t.InitialUp = true; change(t) })})
			if v := r.wantVerdicts(t, 2)[1]; !v.Up || v.Changed {
				t.Fatalf("got %+v, want the initial state up", v)
			}
		})
	}
	f(func(t *Target) { t.Address = "b:1" })
	f(func(t *Target) { t.Scheme = "https" })
	f(func(t *Target) { t.ID = "other" })
}

func TestReconcileRemovedStopsAtOnce(t *testing.T) {
	f := func(stop func(*rig)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(hang)
			r.Reconcile([]Target{
				r.target(func(t *Target) { t.Spec.Timeout = time.Hour }),
				r.target(func(t *Target) { t.ID, t.Spec.Timeout = "second", time.Hour }),
			})
			synctest.Wait()
			begin := time.Now()
			stop(r)
			if took := time.Since(begin); took != 0 {
				t.Errorf("stopping took %v, want no time", took)
			}
			time.Sleep(2 * time.Hour)
			r.wantVerdicts(t, 0)
			r.Close()
			r.Reconcile([]Target{r.target(nil)}) // does nothing any more
			time.Sleep(time.Hour)
			r.wantVerdicts(t, 0)
		})
	}
	f(func(r *rig) { r.Reconcile(nil) })
	f(func(r *rig) { r.Reconcile([]Target{r.target(func(t *Target) { t.Spec.Type = "" })}) })
	f(func(r *rig) { r.Close() })
}

// A Report that is running when its target is removed has returned before
// Reconcile does.
func TestReconcileWaitsForReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(always(nil))
		defer r.Close()
		returned := false
		r.Reconcile([]Target{r.target(func(t *Target) {
			t.Report = func(Verdict) { time.Sleep(time.Minute); returned = true }
		})})
		synctest.Wait()
		r.Reconcile(nil)
		if !returned {
			t.Fatal("Reconcile returned while Report ran")
		}
	})
}

func TestProberRunsTargetsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		r := newRig(hang)
		defer r.Close()
		var reports atomic.Int32
		var targets []Target
		for i := range n {
			targets = append(targets, r.target(func(t *Target) {
				t.ID = fmt.Sprint(i)
				t.Report = func(Verdict) { reports.Add(1) }
			}))
		}
		r.Reconcile(targets)
		time.Sleep(time.Second) // every probe hangs for the same second
		synctest.Wait()
		if got := reports.Load(); got != n {
			t.Fatalf("%d verdicts after one timeout, want %d", got, n)
		}
	})
}
