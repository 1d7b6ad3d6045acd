//go:build !linux

package peers

import "syscall"

// own: elsewhere a killed parent leaves its child behind.
func own() *syscall.SysProcAttr { return nil }
