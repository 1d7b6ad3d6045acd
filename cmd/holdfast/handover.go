package main

import (
	"github.com/holdfast-lb/holdfast/balancer"
	"github.com/holdfast-lb/holdfast/drain"
	"github.com/holdfast-lb/holdfast/proxy"
)

// upgradeVariable is in the environment of a successor: the descriptor of its
// end of the channel.
const upgradeVariable = "HOLDFAST_UPGRADE"

// What the two processes of an upgrade say to each other, in this order. The
// successor reads its configuration, serves, and says that it is ready; then the
// predecessor stops taking anything new and hands over what is open.
const (
	wordHello    byte = iota + 1 // predecessor: hello
	wordListener                 // predecessor: listening, with the socket; for each
	wordTable                    // predecessor: balancer.TableChunk; any number, until wordDone
	wordStart                    // predecessor: that was all
	wordReady                    // successor: ready; or else
	wordFailed                   // successor: failed, and it ends
	wordGo                       // predecessor: from here on the successor is the service
	wordSockets                  // predecessor: []proxy.CarriedSocket, with their descriptors
	wordTaken                    // successor: taken; for each wordSockets
	wordDone                     // predecessor: done
)

// hello is what the predecessor knows.
type hello struct {
	Version    string            `json:"version"`
	Run        string            `json:"run"`    // of the ids of sockets
	Socket     uint64            `json:"socket"` // the last number of those
	KeySecret  []byte            `json:"key_secret"`
	Registry   *balancer.Carried `json:"registry"`
	Discovered map[string]int    `json:"discovered"` // how many backends each pool with discovery has
}

// listening is a socket that the predecessor listens on.
type listening struct {
	Address string `json:"address"` // as configured
	Admin   bool   `json:"admin"`
}

type ready struct {
	Version string `json:"version"`
}

// failed is why the successor does not serve.
type failed struct {
	Mistakes []string `json:"mistakes"`
}

// taken is what became of sockets.
type taken struct {
	Refused []bool `json:"refused,omitempty"` // by index; none: all are taken
	None    bool   `json:"none,omitempty"`    // all are refused
}

// refused is what [proxy.Proxy.HandOver] wants to know of n sockets.
func (t *taken) refused(n int) []bool {
	if !t.None {
		return t.Refused
	}
	all := make([]bool, n)
	for i := range all {
		all[i] = true
	}
	return all
}

// done says that no sockets come any more.
type done struct {
	Drains []drain.Carried `json:"drains,omitempty"`
}

// sockets are those of one frame.
type sockets []proxy.CarriedSocket
