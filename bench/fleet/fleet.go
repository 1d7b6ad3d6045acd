package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say with what a fleet is run.
type Options struct {
	Holdfast string   // program
	K6       string   // program
	Scripts  string   // directory of the k6 scripts
	Backend  []string // command of a server, to which name and address are added
	Out      string   // directory for JSON and SVG
	Sockets  int      // of the server that it is about
}

// servers is how many servers a fleet has.
const servers = 4

// fleet is servers, Holdfast in front of them, and a way to kill and start the
// servers for whoever plays the clients.
type fleet struct {
	o     Options
	dir   string
	web   string // host:port
	admin string
	addrs []string

	mu      sync.Mutex
	procs   []*exec.Cmd // guarded by mu; nil: does not run
	lb      *exec.Cmd
	control *http.Server
	steer   string // URL of control
}

// start starts all of it. pool has the lines of the pool beside its backends.
func start(o Options, pool string) (f *fleet, err error) {
	f = &fleet{o: o, procs: make([]*exec.Cmd, servers)}
	defer func() {
		if err != nil {
			f.stop()
		}
	}()
	if f.dir, err = os.MkdirTemp("", "holdfast-fleet-"); err != nil {
		return f, err
	}
	for i := range servers {
		address, err := freeAddress()
		if err != nil {
			return f, err
		}
		f.addrs = append(f.addrs, address)
		if err := f.launch(i); err != nil {
			return f, err
		}
	}
	if f.web, err = freeAddress(); err != nil {
		return f, err
	}
	if f.admin, err = freeAddress(); err != nil {
		return f, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "admin: {address: %q}\nlog: {access: \"off\"}\nlisteners: [{name: web, address: %q}]\nroutes: [{path: /, pool: web}]\npools:\n  web:\n%s    backends:\n", f.admin, f.web, pool)
	for i, address := range f.addrs {
		fmt.Fprintf(&b, "      - {name: %s, url: \"http://%s\"}\n", nameOf(i), address)
	}
	file := filepath.Join(f.dir, "holdfast.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return f, err
	}
	log, err := os.Create(filepath.Join(f.dir, "holdfast.log"))
	if err != nil {
		return f, err
	}
	defer func() { _ = log.Close() }()
	f.lb = exec.Command(o.Holdfast, "serve", "--config", file)
	f.lb.Stderr = log
	if err := f.lb.Start(); err != nil {
		f.lb = nil
		return f, fmt.Errorf("start Holdfast: %w", err)
	}
	if err := f.await(); err != nil {
		return f, err
	}
	return f, f.listen()
}

func nameOf(i int) string { return fmt.Sprintf("b%d", i+1) }

// launch starts the i-th server and waits until it listens.
func (f *fleet) launch(i int) error {
	args := append(append([]string{}, f.o.Backend...), "--name", nameOf(i), "--listen", f.addrs[i])
	cmd := exec.Command(args[0], args[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start server %s: %w", nameOf(i), err)
	}
	f.mu.Lock()
	f.procs[i] = cmd
	f.mu.Unlock()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("server %s says nothing: %w", nameOf(i), err)
	}
	return nil
}

// kill ends the i-th server as a crash does.
func (f *fleet) kill(i int) {
	f.mu.Lock()
	cmd := f.procs[i]
	f.procs[i] = nil
	f.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	}
}

// listen serves POST /kill and /start, of the first server.
func (f *fleet) listen() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	f.steer = "http://" + ln.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /kill", func(http.ResponseWriter, *http.Request) { f.kill(0) })
	mux.HandleFunc("POST /start", func(w http.ResponseWriter, _ *http.Request) {
		if err := f.launch(0); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	f.control = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = f.control.Serve(ln) }()
	return nil
}

// await waits until Holdfast is ready and has all servers.
func (f *fleet) await() error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var pool struct{ Usable int }
		if f.ask("http://"+f.admin+"/api/v1/pools/web", &pool) == nil && pool.Usable == servers {
			return nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(f.dir, "holdfast.log"))
	return fmt.Errorf("holdfast is not ready in 10 s: %s", bytes.TrimSpace(log))
}

// ask gets JSON.
func (f *fleet) ask(url string, to any) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: status %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(to)
}

// handshakes returns when the i-th server had handshakes, oldest first, in
// milliseconds of Unix time.
func (f *fleet) handshakes(i int) (times []int64, err error) {
	return times, f.ask("http://"+f.addrs[i]+"/times", &times)
}

// k6 runs a script against the fleet and reads what it logs as data. A
// threshold that was crossed is an error, which comes with the data.
func (f *fleet) k6(ctx context.Context, script string, data any, env ...string) error {
	console := filepath.Join(f.dir, "console")
	args := []string{"run", "--quiet", "--no-usage-report", "--log-format", "raw", "--console-output", console}
	for _, e := range append(env, "TARGET=ws://"+f.web+"/", "ADMIN=http://"+f.admin, "STEER="+f.steer) {
		args = append(args, "-e", e)
	}
	cmd := exec.CommandContext(ctx, f.o.K6, append(args, filepath.Join(f.o.Scripts, script))...)
	out, err := cmd.CombinedOutput()
	said, readErr := os.ReadFile(console)
	if readErr != nil || len(said) == 0 {
		return errors.Join(fmt.Errorf("%s logged no data\n%s", script, out), err, readErr)
	}
	found := false
	for line := range strings.Lines(string(said)) {
		if text, ok := strings.CutPrefix(line, "DATA "); ok {
			found = true
			if err := json.Unmarshal([]byte(text), data); err != nil {
				return fmt.Errorf("%s: data: %w", script, err)
			}
		}
	}
	if !found {
		return errors.Join(fmt.Errorf("%s logged no data\n%s\n%s", script, said, out), err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

// stop ends everything.
func (f *fleet) stop() {
	if f.control != nil {
		_ = f.control.Close()
	}
	if f.lb != nil {
		_ = f.lb.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(40*time.Second, func() { _ = f.lb.Process.Kill() })
		_ = f.lb.Wait()
		late.Stop()
	}
	for i := range f.procs {
		f.kill(i)
	}
	if f.dir != "" {
		_ = os.RemoveAll(f.dir)
	}
}

// freeAddress is an address of 127.0.0.1 that nobody has now.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// most is how many of times, in milliseconds, fall into so many seconds,
// wherever they begin.
func most(times []int64, seconds int64) int {
	best, first := 0, 0
	for i, at := range times {
		for at-times[first] >= 1000*seconds {
			first++
		}
		best = max(best, i-first+1)
	}
	return best
}

// keep writes what was seen as NAME.json.
func (o *Options) keep(name string, seen any) error {
	data, err := json.MarshalIndent(seen, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.Out, name+".json"), append(data, '\n'), 0o644)
}
