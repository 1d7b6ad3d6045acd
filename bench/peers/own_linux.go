package peers

import "syscall"

// own makes a child of its own process group, so that Ctrl-C reaches only the
// parent, which then stops it, and that ends when the parent is killed.
func own() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
