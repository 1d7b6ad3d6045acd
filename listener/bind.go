package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	unixPrefix = "unix:"
	// probeTime bounds the test whether somebody listens on a Unix socket.
	probeTime = time.Second
)

// bind returns a listening socket on address: host:port or unix:/path, which
// defers connections as deferAccept says. Package net sets SO_REUSEADDR, so
// connections that linger from an earlier process do not hinder it.
func bind(address string, defers time.Duration) (net.Listener, error) {
	lc := net.ListenConfig{
		// Not by package net, on every connection; see inheritKeepAlive.
		KeepAlive: -1,
		Control:   inheritKeepAlive,
	}
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		return bindUnix(&lc, path)
	}
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, advise(err)
	}
	if defers > 0 {
		if err := deferAccept(ln, defers); err != nil {
			ln.Close()
			return nil, err
		}
	}
	return lazily(ln), nil
}

// bindUnix binds a Unix socket. A file that an earlier process left behind is
// removed, but only a socket's, and only when nobody answers there.
func bindUnix(lc *net.ListenConfig, path string) (net.Listener, error) {
	ln, err := lc.Listen(context.Background(), "unix", path)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return ln, advise(err)
	}
	info, statErr := os.Lstat(path)
	if statErr == nil && info.Mode().Type() != os.ModeSocket {
		return nil, errors.New("the file exists and is not a socket: remove it or choose another path")
	}
	probe, dialErr := net.DialTimeout("unix", path, probeTime)
	if dialErr == nil {
		probe.Close()
	}
	if !errors.Is(dialErr, syscall.ECONNREFUSED) {
		return nil, advise(err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove socket file that nobody listens on: %w", err)
	}
	ln, err = lc.Listen(context.Background(), "unix", path)
	return ln, advise(err)
}

// advise puts the remedy to an error of Listen.
func advise(err error) error {
	var remedy string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = "stop the program that listens there (ss -ltnxp shows it) or choose another address; " +
			"to move one of this process's own listeners between overlapping addresses, remove it in one reload and add it in the next"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		remedy = "no interface of this machine has that address, choose one of its own (ip address shows them)"
	case errors.Is(err, syscall.EACCES):
		remedy = "choose a port from 1024 up or a directory that may be written, or grant CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.ENOENT):
		remedy = "make the directory of the socket first"
	default:
		return err
	}
	// The operation and address are the caller's to say; keep the cause.
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("%w: %s", err, remedy)
}
