package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// patience bounds every wait for something that should come soon. A machine
// under the race detector and other load is slow; one that works needs a
// fraction.
const patience = 15 * time.Second

// setup is what one process is to be: a configuration with one listener "web",
// an admin address and log files, to which a test adds its own lines.
type setup struct {
	// listener holds further keys of the listener, such as
	// "limits: {max_connections: 2}".
	listener string
	// log holds further keys of log.
	log string
	// deadline is shutdown.deadline; a moment if empty, since many a test ends
	// with sockets whose other end says nothing more.
	deadline string
	// rest is the rest of the file: routes and pools.
	rest string
	// program is what is run; empty: the program under test.
	program string
	// env are further variables of the process's environment.
	env []string
	// args are further arguments of serve.
	args []string
}

// process is one running holdfast.
type process struct {
	t      testing.TB
	setup  setup
	cmd    *exec.Cmd
	client *http.Client // for the admin address

	dir   string
	file  string // configuration
	web   string // host:port of the listener
	admin string // host:port
	token string // of the admin address; empty: none

	exited chan struct{} // closed when the process has ended
	state  *os.ProcessState
}

// start runs holdfast serve and returns when it is ready. The test's end stops
// it.
func start(t testing.TB, s setup) *process {
	t.Helper()
	p := launch(t, s)
	testkit.Eventually(t, patience, func() bool {
		select {
		case <-p.exited:
			t.Fatalf("holdfast ended at once: %v\n%s", p.state, p.log())
		default:
		}
		return p.readyStatus() == http.StatusOK
	}, "holdfast is ready")
	return p
}

// launch is start without the wait.
func launch(t testing.TB, s setup) *process {
	t.Helper()
	p := prepare(t, s)
	p.write(s.rest)
	p.begin()
	return p
}

// prepare settles where a process will be.
func prepare(t testing.TB, s setup) *process {
	t.Helper()
	dir := t.TempDir()
	return &process{
		t: t, setup: s, dir: dir,
		file: filepath.Join(dir, "holdfast.yaml"),
		web:  freeAddr(t), admin: freeAddr(t),
		exited: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{}, Timeout: patience},
	}
}

// begin runs it by the file that was written.
func (p *process) begin() {
	p.t.Helper()
	p.cmd = exec.Command(cmp.Or(p.setup.program, program), append([]string{"serve", "--config", p.file}, p.setup.args...)...)
	p.cmd.Env = append(os.Environ(), p.setup.env...)
	p.run(p.path("stderr.log"))
}

// run starts p.cmd with its standard error in a file. The test's end stops it
// and looks at how it ended.
func (p *process) run(stderr string) {
	p.t.Helper()
	f, err := os.OpenFile(stderr, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatalf("open standard error: %v", err)
	}
	defer f.Close()
	p.cmd.Stderr = f
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.cmd, err)
	}
	go func() {
		_ = p.cmd.Wait()
		p.state = p.cmd.ProcessState
		close(p.exited)
	}()
	p.t.Cleanup(p.finish)
}

// path returns the path of a file beside the configuration.
func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

// text returns the whole configuration file around the lines of rest.
func (p *process) text(rest string) string {
	deadline := p.setup.deadline
	if deadline == "" {
		deadline = "300ms"
	}
	listener := ""
	if p.setup.listener != "" {
		listener = ", " + p.setup.listener
	}
	log := "access: access.log"
	if p.setup.log != "" {
		log = p.setup.log
	}
	return fmt.Sprintf("admin: {address: %q}\nlog: {%s}\nshutdown: {deadline: %s}\nlisteners: [{name: web, address: %q%s}]\n%s\n",
		p.admin, log, deadline, p.web, listener, rest)
}

// write replaces the configuration in one step, as an editor does. The process
// does not look at it before it is told to.
func (p *process) write(rest string) {
	p.t.Helper()
	p.writeText(p.text(rest))
}

// writeText is write for a whole file.
func (p *process) writeText(text string) {
	p.t.Helper()
	next := p.file + ".next"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		p.t.Fatalf("write configuration: %v", err)
	}
	if err := os.Rename(next, p.file); err != nil {
		p.t.Fatalf("write configuration: %v", err)
	}
}

// signal sends s to the process.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("send %v: %v", s, err)
	}
}

// reload sends SIGHUP and returns when the reload has succeeded or failed.
func (p *process) reload() {
	p.t.Helper()
	count := func() float64 { return p.metric("holdfast_reloads_total") }
	before := count()
	p.signal(syscall.SIGHUP)
	testkit.Eventually(p.t, patience, func() bool { return count() > before }, "SIGHUP is obeyed")
}

// wait returns the exit code once the process has ended, and ends the test if
// it has not within that time.
func (p *process) wait(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(within):
		p.t.Fatalf("holdfast has not ended within %v\n%s", within, p.log())
	}
	return p.state.ExitCode()
}

// finish stops the process if it still runs, and fails the test if it does not
// stop in time or has complained.
func (p *process) finish() {
	p.client.CloseIdleConnections()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // for its goroutines' stacks
		p.t.Errorf("holdfast has not ended %v after SIGTERM", patience)
		select {
		case <-p.exited:
		case <-time.After(patience):
			_ = p.cmd.Process.Kill()
			<-p.exited
		}
	}
	log := p.log()
	for _, bad := range []string{"DATA RACE", "panic"} {
		if strings.Contains(log, bad) {
			p.t.Errorf("holdfast's log has %q", bad)
		}
	}
	if p.t.Failed() {
		const end = 32 << 10
		p.t.Logf("end of holdfast's log:\n%s", log[max(0, len(log)-end):])
	}
}

// log returns what the process has written to its standard error.
func (p *process) log() string { return p.read("stderr.log") }

// read returns a file beside the configuration, empty if there is none.
func (p *process) read(name string) string {
	b, err := os.ReadFile(p.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Errorf("read %s: %v", name, err)
	}
	return string(b)
}

// logged waits until the log holds text.
func (p *process) logged(text string) {
	p.t.Helper()
	testkit.Eventually(p.t, patience, func() bool { return strings.Contains(p.log(), text) }, "log has "+text)
}

// adminGet returns status and body of a GET of the admin address.
func (p *process) adminGet(path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, bytes.TrimSpace(body), err
}

// readyStatus is the status of /readyz, 0 when nobody answers.
func (p *process) readyStatus() int {
	status, _, _ := p.adminGet("/readyz")
	return status
}

// freeAddr is what most tests of this package want.
func freeAddr(t testing.TB) string {
	t.Helper()
	return testkit.FreeAddr(t)
}

// stdout sends the standard output of a process that is not started yet to a
// file beside the configuration.
func (p *process) stdout(name string) {
	p.t.Helper()
	f, err := os.OpenFile(p.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatalf("open standard output: %v", err)
	}
	p.t.Cleanup(func() { f.Close() })
	p.cmd.Stdout = f
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read file: %v", err)
	}
	return string(b)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
