// Package testkit holds what the tests of the other packages share: a TestMain
// that fails on leaks, servers that behave or misbehave on purpose, and clients
// that put exact bytes on the wire.
//
//   - [Main] runs a package's tests and fails when they leave goroutines or
//     descriptors behind.
//   - [Parallel] lets more tests wait at once than there are processors.
//   - [Backend] is an HTTP server on fasthttp. [Echo], [Push], [Silent],
//     [Stalled], [CloseWith], [HangOnUpgrade], [WrongAccept] and [Refuse] are
//     handlers for it; each answers plain requests with 200, so that a backend
//     can look well to an HTTP probe and be useless for WebSockets.
//   - [Dial] is a WebSocket client for tests about messages. [DialRaw] is one
//     for tests about frames and bytes, with [Frame] as its codec.
//   - [Authority] signs certificates, for backends whose TLS is set and for
//     everybody else.
//   - [Recorder] is a backend that judges requests as the strictest of parsers.
//   - [DialTCP] and [ServeTCP] are bare TCP, for what is not even HTTP.
//   - [Build] builds a program of this module.
//   - [Log] is a log that can be read while it is written.
//   - [Eventually] waits for a condition instead of sleeping for luck.
//
// Whatever is started with a testing.TB is stopped by its Cleanup. A function
// that takes a testing.TB ends the test on failure, so it must be called from
// the test's own goroutine unless it says otherwise.
//
// Only tests import this package, and it imports no other of this module.
package testkit

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// leakPatience is how long goroutines and descriptors may take to go away once
// the last test has ended: kernel and runtime finish some of that on their own
// time.
const leakPatience = 5 * time.Second

// descriptorDir lists this process's open descriptors on Linux.
const descriptorDir = "/proc/self/fd"

// lingerers are goroutines that fasthttp starts and cannot be asked to stop at
// once: the clock behind its Date header lives as long as the process, and the
// others look only every ten seconds whether their owner is gone.
var lingerers = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*Client).mCleaner"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"),
}

// Main is a TestMain: it runs the tests and exits the process with the status
// of [Run].
func Main(m *testing.M, ignore ...goleak.Option) { os.Exit(Run(m, ignore...)) }

// Parallel lets n tests run at once, in a package whose tests mostly wait,
// unless the command line asks for another number than Go's own. It parses the
// command line.
func Parallel(n int) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		_ = f.Value.Set(strconv.Itoa(n)) // a number is accepted
	}
}

// Checks has rapid make n checks of a property in place of a hundred, for
// properties that take their time, unless the command line asks for a number.
// It holds for the whole package from then on.
func Checks(n int) {
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		_ = f.Value.Set(strconv.Itoa(n)) // a number is accepted
	}
}

// Run runs the tests and returns the process's exit status, for a TestMain that
// has something to clean up behind them. When they pass it also fails the run
// on goroutines, and where /proc/self/fd exists on descriptors, that were not
// there before, and prints which. It waits up to five seconds for them to go.
// ignore names further goroutines that are meant to outlive the tests; the
// caller says why.
func Run(m *testing.M, ignore ...goleak.Option) int {
	before := descriptorsBefore()
	code := m.Run()
	if code == 0 {
		code = verify(os.Stderr, before, leakPatience, ignore...)
	}
	return code
}

// verify returns 1 and writes what leaked to w if anything did within patience.
func verify(w io.Writer, before map[string]string, patience time.Duration, ignore ...goleak.Option) int {
	code := 0
	deadline := time.Now().Add(patience)
	options := append(append([]goleak.Option{}, lingerers...), ignore...)
	err := goleak.Find(options...) // itself retries for almost half a second
	for err != nil && time.Now().Before(deadline) {
		err = goleak.Find(options...)
	}
	if err != nil {
		fmt.Fprintf(w, "testkit: goroutines leaked: %v\n", err)
		code = 1
	}

	leaked := newDescriptors(before)
	for len(leaked) > 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
		leaked = newDescriptors(before)
	}
	if len(leaked) > 0 {
		fmt.Fprintf(w, "testkit: descriptors leaked:\n  %s\n", strings.Join(leaked, "\n  "))
		code = 1
	}
	return code
}

// descriptorsBefore is the baseline. It makes the runtime open its poller
// first, whose descriptors would otherwise look like a leak of the first test
// that uses the network.
func descriptorsBefore() map[string]string {
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
	}
	return descriptors()
}

// descriptors maps number to target, such as "7" to "socket:[4711]". It is nil
// where the system does not tell.
func descriptors() map[string]string {
	entries, err := os.ReadDir(descriptorDir)
	if err != nil {
		return nil
	}
	open := make(map[string]string, len(entries))
	for _, e := range entries {
		// The descriptor that read the directory is closed by now and has no
		// target any more.
		if target, err := os.Readlink(filepath.Join(descriptorDir, e.Name())); err == nil {
			open[e.Name()] = target
		}
	}
	return open
}

// newDescriptors returns "number -> target" for all that before did not hold.
func newDescriptors(before map[string]string) []string {
	if before == nil {
		return nil
	}
	var leaked []string
	for number, target := range descriptors() {
		if before[number] != target {
			leaked = append(leaked, number+" -> "+target)
		}
	}
	sort.Strings(leaked)
	return leaked
}
