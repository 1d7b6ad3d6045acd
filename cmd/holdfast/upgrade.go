package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/internal/explain"
	"github.com/holdfast-lb/holdfast/internal/handoff"
	"github.com/holdfast-lb/holdfast/relay"
)

// upgradePatience is how long a successor may take to be ready, if nobody says
// otherwise.
const upgradePatience = 30 * time.Second

var (
	errUpgrading = admin.Conflict("upgrading", "an upgrade is under way", "try again when it is over: holdfast status shows when the process began")
	errReceiving = admin.Conflict("upgrading", "the upgrade that began this process is not over: sockets are still coming", "try again in a moment")
	codeUpgrade  = explain.Named("upgrade_failed").String()
)

// programPath is where the program is that this process runs, and where an
// upgrade will look for the next one. A link stays one, so that it may lead
// elsewhere by then.
func programPath() string {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		path, _ = os.Executable()
	}
	return path
}

// succession is an upgrade under way, in the process that is to be succeeded.
type succession struct {
	channel  *handoff.Conn
	process  *exec.Cmd
	exited   chan struct{} // closed when the successor has ended
	hello    hello
	registry *balancer.Registry
	sockets  map[listening]int // descriptors
	version  string            // of the successor, once it is ready
	// reload: somebody wants one, which waits for the end of the upgrade. It is
	// the command's goroutine's.
	reload bool
	// answer tells who has asked how it went. It is called once and does not
	// block.
	answer func(admin.Upgrade, error)
}

// orderUpgrade is upgrade for other goroutines. It returns when the successor
// serves and has what could be carried, or when there is none.
func (a *app) orderUpgrade(within time.Duration) (admin.Upgrade, error) {
	type answer struct {
		admin.Upgrade
		error
	}
	answers := make(chan answer, 1)
	if !a.onCommand(func() {
		a.upgrade(within, func(u admin.Upgrade, err error) { answers <- answer{u, err} })
	}) {
		return admin.Upgrade{}, errEnding
	}
	got := <-answers
	return got.Upgrade, got.error
}

// upgrade starts a successor, which has so long to be ready; 0: upgradePatience.
// What comes of it is logged, and told by answer. It does not wait.
func (a *app) upgrade(within time.Duration, answer func(admin.Upgrade, error)) {
	if within <= 0 {
		within = upgradePatience
	}
	s, err := a.startSuccessor()
	if err != nil {
		a.upgradeFailed(answer, err)
		return
	}
	s.answer = answer
	a.succession = s
	a.log.Info("upgrade begins", "program", a.program, "pid", s.process.Process.Pid)
	a.retiring.Go(func() {
		err := s.await(within)
		if !a.onCommand(func() { a.succeeded(s, err) }) {
			s.abandon()
			answer(admin.Upgrade{}, errEnding)
		}
	})
}

// startSuccessor starts the program, with all that it needs to begin waiting to
// be sent.
func (a *app) startSuccessor() (*succession, error) {
	switch {
	case a.succession != nil:
		return nil, errUpgrading
	case a.inheritance.receives():
		return nil, errReceiving
	case runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64":
		return nil, admin.Conflict("upgrade_unsupported", "an upgrade needs Linux on amd64 or arm64, this is "+runtime.GOOS+" on "+runtime.GOARCH,
			"stop this process and start another")
	case os.Getpid() == 1:
		return nil, admin.Conflict("upgrade_unsupported", "this is process 1 of a container, which ends with it",
			"start another container beside this one and stop this one, which tells its sockets")
	}
	s := &succession{exited: make(chan struct{}), registry: a.registry, sockets: map[listening]int{}}
	done := false
	defer func() {
		if !done {
			s.release()
			if s.channel != nil {
				s.channel.Close()
			}
		}
	}()
	listeners, err := a.listeners.Handover()
	if err != nil {
		return nil, err
	}
	for address, fd := range listeners {
		s.sockets[listening{Address: address}] = fd
	}
	if a.admin != nil {
		fd, err := a.admin.handover()
		if err != nil {
			return nil, err
		}
		s.sockets[listening{a.admin.address, true}] = fd
	}
	s.hello = hello{
		Version: version(), Run: a.socketRun, Socket: relay.LastID(), KeySecret: a.proxy.KeySecret(),
		Registry: a.registry.Carry(), Discovered: a.discoveredCounts(),
	}
	channel, file, err := handoff.Pair()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s.channel = channel
	s.process = exec.Command(a.program, os.Args[1:]...) // #nosec G204 G702 -- what this process was started as
	s.process.Env = append(os.Environ(), upgradeVariable+"=3")
	s.process.Stdin, s.process.Stdout, s.process.Stderr = os.Stdin, os.Stdout, os.Stderr
	s.process.ExtraFiles = []*os.File{file}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start the program: %w", err)
	}
	done = true
	go func() {
		_ = s.process.Wait()
		close(s.exited)
	}()
	return s, nil
}

// discoveredCounts is how many backends each pool has that finds some.
func (a *app) discoveredCounts() map[string]int {
	counts := map[string]int{}
	for name := range a.discovery.Status() {
		counts[name] = len(a.full.Pools[name].Backends)
	}
	return counts
}

// await tells the successor what there is and returns when it is ready, or when
// it has ended.
func (s *succession) await(within time.Duration) error {
	s.channel.SetDeadline(time.Now().Add(within))
	err := s.tell()
	if err == nil {
		err = s.hear()
	}
	if err == nil {
		s.channel.SetDeadline(time.Time{})
		return nil
	}
	// If the channel broke because the process has ended, that is the news.
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		select {
		case <-s.exited:
		case <-time.After(lastSecond):
		}
	}
	var no *refusedBySuccessor
	select {
	case <-s.exited:
		if !errors.As(err, &no) {
			err = fmt.Errorf("the program ended before it was ready: %s; its standard error says more", s.process.ProcessState)
		}
	default:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("the program was not ready within %s, it is ended", within)
		}
	}
	s.abandon()
	return err
}

// tell sends what the successor begins with.
func (s *succession) tell() error {
	defer s.release()
	if err := s.channel.Send(wordHello, &s.hello); err != nil {
		return err
	}
	for l, fd := range s.sockets {
		if err := s.channel.Send(wordListener, l, fd); err != nil {
			return err
		}
	}
	if err := s.tellTables(); err != nil {
		return err
	}
	return s.channel.Send(wordStart, struct{}{})
}

// tellTables sends who sticks to which.
func (s *succession) tellTables() (err error) {
	s.registry.CarryTables(func(c *balancer.TableChunk) bool {
		err = s.channel.Send(wordTable, c)
		return err == nil
	})
	return err
}

// hear waits for the successor's word.
func (s *succession) hear() error {
	f, err := s.channel.Receive()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the program ended the upgrade without a word")
		}
		return err
	}
	defer f.Close()
	switch f.Kind {
	case wordReady:
		var r ready
		err := f.Decode(&r)
		s.version = r.Version
		return err
	case wordFailed:
		var why failed
		if err := f.Decode(&why); err != nil {
			return err
		}
		return &refusedBySuccessor{why.Mistakes}
	}
	return fmt.Errorf("the program speaks another language: word %d came", f.Kind)
}

// refusedBySuccessor is why the successor does not serve, in its own words.
type refusedBySuccessor struct{ mistakes []string }

func (r *refusedBySuccessor) Error() string { return strings.Join(r.mistakes, "; ") }

// release closes this side's duplicates of the listening sockets.
func (s *succession) release() {
	for _, fd := range s.sockets {
		_ = syscall.Close(fd)
	}
	clear(s.sockets)
}

// abandon ends a successor that does not succeed.
func (s *succession) abandon() {
	s.channel.Close()
	_ = s.process.Process.Kill() // fails only if it has ended
	<-s.exited
}

// succeeded goes on when the successor is ready, or is not to be; err says why.
func (a *app) succeeded(s *succession, err error) {
	if err == nil {
		if err = s.channel.Send(wordGo, struct{}{}); err != nil {
			s.abandon()
		}
	}
	if err != nil {
		a.succession = nil
		a.upgradeFailed(s.answer, err)
		if s.reload {
			a.reload()
		}
		return
	}
	if s.reload {
		_ = s.process.Process.Signal(syscall.SIGHUP)
	}
	a.leaving = true
}

// upgradeFailed says why there is no successor.
func (a *app) upgradeFailed(answer func(admin.Upgrade, error), err error) {
	var problem *admin.Problem
	if errors.As(err, &problem) {
		a.log.Warn("no upgrade", "error", err)
		answer(admin.Upgrade{}, problem)
		return
	}
	mistakes := []string{err.Error()}
	var no *refusedBySuccessor
	if errors.As(err, &no) {
		mistakes = no.mistakes
	}
	a.log.Error("upgrade failed, this process goes on as before", "code", codeUpgrade, "program", a.program, "error", strings.Join(mistakes, "; "))
	a.events.Publish(admin.Event{Kind: "upgrade", Level: admin.Error, State: "failed",
		Message: "failed, the process before it goes on: " + strings.Join(mistakes, "; ")})
	answer(admin.Upgrade{Status: "failed", Errors: mistakes}, nil)
}
