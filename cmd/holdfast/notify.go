package main

import (
	"net"
	"os"
)

// notifyManager tells the service manager of a change (sd_notify(3)), if there
// is one that wants to be told. It does not wait.
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
	_, _ = c.Write([]byte(state))
}
