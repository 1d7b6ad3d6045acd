package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/bench/load"
)

// command is this program with other arguments: told to stop when ctx ends,
// killed three seconds later.
func command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	return cmd, nil
}

// backends is the backend process.
type backends struct {
	addresses []string
	stop      func() error
}

// startBackends starts the backend process and waits for its addresses. The
// caller calls stop once.
func startBackends(ctx context.Context, listeners, threads int) (*backends, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd, err := command(ctx, "backend", "--listeners", strconv.Itoa(listeners), "--threads", strconv.Itoa(threads))
	if err != nil {
		cancel()
		return nil, err
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("start backends: %w", err)
	}
	stop := func() error {
		cancel()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("run backends: %w", err)
		}
		return nil
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start backends: no addresses from them: %w", err), stop())
	}
	return &backends{addresses: strings.Split(strings.TrimSpace(line), ","), stop: stop}, nil
}

// runLoad runs a plan in a process of its own, for no longer than the plan's
// limit.
func runLoad(ctx context.Context, p load.Plan) (load.Result, error) {
	var r load.Result
	ctx, cancel := context.WithTimeout(ctx, p.Limit()+2*time.Second)
	defer cancel()
	cmd, err := command(ctx, loadArgs(p)...)
	if err != nil {
		return r, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("%s (%w)", strings.TrimPrefix(strings.TrimSpace(stderr.String()), "bench: "), err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("read the generator's result %q: %w", out, err)
	}
	return r, nil
}
