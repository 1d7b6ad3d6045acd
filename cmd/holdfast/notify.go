package main

import (
	"net"
	"os"
	"time"
)

// notifyManager tells the service manager of a change (sd_notify(3)), if there
// is one that wants to be told. It waits a moment at most.
func notifyManager(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(passEvery))
	_, _ = c.Write([]byte(state))
}
