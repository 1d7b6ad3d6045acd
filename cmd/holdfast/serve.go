package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/terminal"
)

func newServe() *cobra.Command {
	src := &source{overrides: map[string]any{}}
	var pidFile, level string
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run by a configuration file",
		Long: "Runs until SIGTERM or SIGINT, which end it politely: requests are finished and sockets are told\n" +
			"Close 1001, within shutdown.deadline; a second signal ends it at once.\n\n" +
			"SIGHUP reads the file again. A file with a mistake changes nothing.\n" +
			"SIGUSR1 opens the log files again.\n" +
			"SIGUSR2 has the program at this one's path take over, open sockets included (holdfast upgrade).",
		Args: terminal.NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Before the file is read, so that no signal is lost or kills.
			signals := notify()
			defer signal.Stop(signals)
			if level != "" {
				src.overrides["log.level"] = level
			}
			return serve(cmd, src, pidFile, signals)
		},
	}
	configFlag(cmd, &src.path)
	cmd.Flags().StringVar(&pidFile, "pid-file", "", "write the process id to this `FILE`, and remove it at the end")
	cmd.Flags().StringVar(&level, "log-level", "", "override log.level: debug, info, warn or error")
	return cmd
}

// notify returns the signals that serve obeys. They have room to wait while
// another is obeyed. A second one to end does not wait: it ends the process at
// once, whatever is being done about the first.
func notify() chan os.Signal {
	// A log on a pipe whose reader has gone must not end the process.
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2)
	ends := make(chan os.Signal, 2)
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ends
		<-ends
		os.Exit(130)
	}()
	return signals
}

func serve(cmd *cobra.Command, src *source, pidFile string, signals <-chan os.Signal) (err error) {
	in, err := inherit()
	if err != nil {
		return err
	}
	defer func() { in.fail(err) }()
	program := programPath()
	cfg, data, err := src.read(func(w config.Warning) { fmt.Fprintln(cmd.ErrOrStderr(), "warning: "+w.String()) })
	if err != nil {
		var list config.Errors
		if errors.As(err, &list) {
			fmt.Fprintln(cmd.ErrOrStderr(), list)
			in.fail(list)
			return refuse(cmd, list)
		}
		return err
	}
	src.data, src.files = data, fingerprint(cfg.Files())
	log, err := newJournal(cfg.Log)
	if err != nil {
		return err
	}
	a, err := newApp(log, in)
	if err != nil {
		return err
	}
	a.source, a.program = src, program
	if in != nil {
		a.notReady.Store(nil) // the admin address is one that others ask already
	}
	if err := a.apply(cfg); err != nil {
		a.stop(time.Second)
		return err
	}
	a.metrics.Reload(true, time.Now())
	a.taken("started", time.Now(), "started with "+a.summary())
	var pidErr error
	err = a.succeed(func() {
		if pidFile != "" {
			pidErr = os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644) // #nosec G306 -- a pid is no secret
		}
	})
	switch {
	case err == nil && pidErr != nil && in == nil:
		err = fmt.Errorf("write pid file: %w", pidErr)
	case pidErr != nil:
		log.Error("the pid file still names the process before this one", "error", pidErr)
	}
	if err != nil {
		a.stop(time.Second)
		return err
	}
	defer func() {
		if pidFile != "" && !a.leaving {
			_ = os.Remove(pidFile)
		}
	}()
	log.Info("serving", "configuration", a.summary(), "pid", os.Getpid(), "version", version())
	a.notReady.Store(nil)
	notifyManager("READY=1")
	for !a.leaving {
		select {
		case err := <-a.failed:
			a.stop(a.cfg.Shutdown.Deadline)
			return err
		case order := <-a.orders:
			order()
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				if a.succession != nil {
					a.succession.reload = true
				} else {
					a.reload()
				}
			case syscall.SIGUSR2:
				a.upgrade(0, func(admin.Upgrade, error) {})
			case syscall.SIGUSR1:
				a.reopen()
			default:
				log.Info("stopping", "signal", s.String(), "deadline", a.cfg.Shutdown.Deadline.String())
				notifyManager("STOPPING=1")
				a.stop(a.cfg.Shutdown.Deadline)
				return nil
			}
		}
	}
	a.leave(signals)
	return nil
}

// reopen opens the log files again, for logrotate.
func (a *app) reopen() {
	err := a.log.reopen()
	err = errors.Join(err, a.access.Load().reopen())
	if err != nil {
		a.log.Error("log files are not all reopened", "error", err)
		return
	}
	a.log.Info("log files reopened")
}

func isEnd(s os.Signal) bool { return s == syscall.SIGTERM || s == syscall.SIGINT }
