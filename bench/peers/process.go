package peers

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/bench/usage"
)

const (
	readyWithin = 10 * time.Second
	stopWithin  = 3 * time.Second // between SIGTERM and SIGKILL
)

// Process is a running balancer. Its owner calls Stop exactly once.
type Process struct {
	name   string
	cmd    *exec.Cmd
	log    string        // path of what it wrote
	exited chan struct{} // closed when it has ended and been waited for
	err    error         // of Wait; valid after exited

	program string
	setup   Setup
}

// Start configures and starts a balancer and returns when a GET through it is
// answered with 200, at most 10 s later. program is the path of its binary.
func Start(ctx context.Context, name, program string, s Setup) (*Process, error) {
	config, err := Configure(name, s)
	if err != nil {
		return nil, err
	}
	p := &Process{name: name, log: filepath.Join(s.Dir, name+".log"), exited: make(chan struct{}), program: program, setup: s}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = out.Close() }() // the child has its own copy
	def := known[name]
	p.cmd = exec.Command(program, def.args(config, s)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = os.Environ()
	if def.env != nil {
		p.cmd.Env = append(p.cmd.Env, def.env(s)...)
	}
	p.cmd.SysProcAttr = own()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	scheme := "http"
	if s.TLS {
		scheme = "https"
	}
	if err := p.await(ctx, scheme+"://"+s.Listen+"/"); err != nil {
		p.Stop()
		return nil, fmt.Errorf("start %s: %w%s", name, err, p.said())
	}
	return p, nil
}

// PID is the balancer's process; workers are its descendants.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Alive returns an error, with the end of its log, if the balancer has ended.
func (p *Process) Alive() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended by itself: %v%s", p.name, p.err, p.said())
	default:
		return nil
	}
}

// Reload has the balancer read a configuration that says the same in other
// bytes. It does not wait for what follows. One call at a time.
func (p *Process) Reload(ctx context.Context) error {
	p.setup.generation++
	config, err := Configure(p.name, p.setup)
	if err != nil {
		return err
	}
	def := known[p.name]
	if def.reload == nil {
		if err := p.cmd.Process.Signal(def.signal); err != nil {
			return fmt.Errorf("reload %s: %w", p.name, err)
		}
		return nil
	}
	args := def.reload(p.program, config)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), def.env(p.setup)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("reload %s: %w: %s", p.name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Processes is how many processes the balancer is at the moment.
func (p *Process) Processes() int {
	tree, _ := usage.Tree(p.PID())
	return len(tree)
}

// Stop ends the balancer: SIGTERM, after 3 s SIGKILL to it and its
// descendants. It returns when the process is gone.
func (p *Process) Stop() {
	tree, _ := usage.Tree(p.PID())
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return
	case <-time.After(stopWithin):
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	for _, pid := range tree[min(1, len(tree)):] {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// await polls url until it is answered with 200.
func (p *Process) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // #nosec G402 -- the certificate is ours
	}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-p.exited:
			return fmt.Errorf("it ended: %v", p.err)
		case <-ctx.Done():
			return fmt.Errorf("no answer from %s: %w (last: %w)", url, ctx.Err(), last)
		case <-tick.C:
		}
		if last = get(ctx, client, url); last == nil {
			return nil
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// said is the end of the balancer's log, on lines of its own.
func (p *Process) said() string {
	data, err := os.ReadFile(p.log)
	data = bytes.TrimSpace(data)
	if err != nil || len(data) == 0 {
		return ""
	}
	return "\nits last words:\n" + string(data[max(0, len(data)-1000):])
}
