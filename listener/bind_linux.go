package listener

import (
	"strings"
	"syscall"
)

// Dead peers are found about two minutes after their last sign of life.
const (
	keepAliveIdle     = 60 // seconds
	keepAliveInterval = 15 // seconds
	keepAliveCount    = 4
)

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
