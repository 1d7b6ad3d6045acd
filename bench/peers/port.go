package peers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreeAddress returns an address of 127.0.0.1 that nobody listens on now. It
// stays below the ports that the kernel deals out to clients (from 32768 by
// default), so that no client takes it before the balancer does.
func FreeAddress() (string, error) {
	var last error
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20000+rand.IntN(12000)))
		l, err := net.Listen("tcp4", address)
		if err == nil {
			return address, l.Close()
		}
		last = err
	}
	return "", fmt.Errorf("find free port from 20000 to 31999: %w", last)
}
