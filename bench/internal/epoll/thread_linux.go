package epoll

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// procs guards the read-and-set of GOMAXPROCS.
var procs sync.Mutex

// Thread runs loop on an operating-system thread of its own and returns when
// loop does. While it runs, GOMAXPROCS is one higher, since a loop that waits
// in a raw system call keeps its P. Timers of the thread fire within a
// microsecond instead of the kernel's usual 50 µs, for the open-loop schedule.
func Thread(loop func()) {
	addProcs(1)
	defer addProcs(-1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Refused only by a sandbox; the schedule is then coarser, and the
	// lateness that results shows in the measured latency.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	loop()
}

func addProcs(n int) {
	procs.Lock()
	defer procs.Unlock()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}
