// Package sys is where Holdfast meets the kernel: of what is in the binary, the
// only importer of golang.org/x/sys/unix.
//
// It deals in plain descriptors. Whoever holds a descriptor owns it: every
// descriptor returned here is closed exactly once, with [Close], or given away
// to an owner that says so in its documentation. All sockets are non-blocking
// and close-on-exec.
package sys
