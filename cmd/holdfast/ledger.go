package main

import (
	"fmt"
	"time"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/proxy"
	"github.com/holdfast-lb/holdfast/relay"
)

// lastWords is how long a client has to answer a Close that an operator has
// ordered.
const lastWords = 5 * time.Second

// ledger is what the admin API knows of open sockets.
func (a *app) ledger() admin.Ledger {
	return admin.Ledger{
		Each:    a.eachSocket,
		HashKey: func(key string) string { return keyText(a.proxy.HashKey([]byte(key))) },
		Close: func(number uint64, code uint16, reason string) bool {
			if !a.relay.End(number, code, reason, lastWords) {
				return false
			}
			a.log.Info("socket closed by order", "socket", number, "code", code, "reason", reason)
			a.events.Publish(admin.Event{Kind: "socket", Level: admin.Info, State: "closing",
				Message: fmt.Sprintf("socket %s-%d is told Close %d: %s", a.socketRun, number, code, reason)})
			return true
		},
	}
}

// eachSocket yields every open socket under the newest name of its backend.
func (a *app) eachSocket(yield func(*admin.Socket) bool) {
	names := map[balancer.Key]string{}
	for _, b := range a.registry.Snapshot() {
		names[b.Key()] = b.Name
	}
	now := time.Now()
	var one admin.Socket
	a.proxy.Sockets(func(o *proxy.OpenSocket) bool {
		one = admin.Socket{
			Number: o.ID, Route: o.Route, Pool: o.Backend.Pool, Backend: names[o.Backend],
			Client: o.Client, Key: keyText(o.Key), Opened: now.Add(-o.Age), IdleSeconds: o.Idle.Seconds(), Leaving: o.Leaving,
			ClientToBackend: admin.Flow{Bytes: o.Bytes[relay.Client], Frames: o.Frames[relay.Client]},
			BackendToClient: admin.Flow{Bytes: o.Bytes[relay.Backend], Frames: o.Frames[relay.Backend]},
		}
		if one.Backend == "" { // it came after the snapshot
			one.Backend = o.Backend.Address
		}
		if o.RoundTrip > 0 {
			trip := o.RoundTrip.Seconds()
			one.RoundTrip = &trip
		}
		return yield(&one)
	})
}

// keyText is empty for no key.
func keyText(hash uint64) string {
	if hash == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", hash)
}
