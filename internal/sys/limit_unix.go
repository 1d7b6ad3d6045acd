//go:build unix

package sys

import (
	"math"

	"golang.org/x/sys/unix"
)

// MaxDescriptors returns how many descriptors this process may have now; 0 if
// the system does not tell.
func MaxDescriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32)) // #nosec G115 -- it fits
}
