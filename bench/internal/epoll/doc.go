// Package epoll is the little of Linux that the measuring tools stand on: an
// edge-triggered poller and socket calls that tell Go's scheduler nothing.
//
// A load generator shares its cores with the balancer that it measures, so
// whatever it spends is taken from the figure. Each call here is therefore one
// raw system call. A raw call that blocks keeps its P (Go's right to run), and
// so every loop runs inside [Thread], which gives the scheduler one P more for
// as long as the loop lives.
//
// Linux 5.11 or later (epoll_pwait2: waits shorter than a millisecond). On
// other systems the package is empty.
package epoll
