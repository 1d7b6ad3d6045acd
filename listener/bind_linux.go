package listener

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// Dead peers are found about two minutes after their last sign of life.
const (
	keepAliveIdle     = 60 // seconds
	keepAliveInterval = 15 // seconds
	keepAliveCount    = 4
)

// canDefer tells whether deferAccept does anything.
const canDefer = true

// deferAccept has the kernel hand a connection over when its first bytes are
// there, or after so long without any, rounded up to whole seconds and to what
// its retransmissions make of them: 1, 3, 7, 15, 31 or 63. 0 is at once. It
// concerns connections to come, so it may be called while ln accepts.
func deferAccept(ln net.Listener, d time.Duration) error {
	sc, ok := ln.(syscall.Conn)
	if _, tcp := ln.Addr().(*net.TCPAddr); !ok || !tcp {
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	seconds := int((d + time.Second - 1) / time.Second)
	if ctlErr := rc.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_DEFER_ACCEPT, seconds)
	}); ctlErr != nil {
		return ctlErr
	}
	if err != nil {
		return fmt.Errorf("set TCP_DEFER_ACCEPT to %d s: %w", seconds, err)
	}
	return nil
}

// inheritKeepAlive switches TCP keep-alive and TCP_NODELAY on for the listening
// socket, whose connections inherit both on Linux: package net would spend five
// system calls on each connection instead.
func inheritKeepAlive(network, _ string, rc syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	set := func(fd uintptr, level, option, value int) {
		if err == nil {
			err = syscall.SetsockoptInt(int(fd), level, option, value)
		}
	}
	if ctlErr := rc.Control(func(fd uintptr) {
		set(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
		set(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveIdle)
		set(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveInterval)
		set(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount)
		set(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}); ctlErr != nil {
		return ctlErr
	}
	return err
}
