// Package load drives a WebSocket echo server, through a balancer or not, and
// measures what comes back.
//
// A [Plan] says what to do; [Run] does it and returns a [Result]. The
// scenarios are:
//
//	pingpong  every socket sends its next message when the last one is back
//	          (closed loop): round trips a second. Large messages are pingpong
//	          with another size.
//	churn     workers each open a socket, have one message echoed, close it as
//	          RFC 6455 section 7.1.1 says (Close, its answer, the server's end
//	          of the stream), and start again: new sockets a second.
//	idle      sockets are opened, used once and held: memory for each.
//	paced     messages are due by a timetable, whatever became of earlier ones
//	          (open loop): latency counts from the moment when each was due, so
//	          that a stall is seen by all messages that it delayed.
//	push      one socket sends, and all of them hear it from the backend; when
//	          the last one has, it sends again: messages delivered a second.
//	storm     all sockets of one backend end at once and come back at once, as
//	          often as it takes: latency is from a socket's end to its echo.
//	drain     as paced, until the balancer is told to empty one backend: which
//	          sockets read a Close, which ended without one, what was lost.
//
// Every echo is compared with what was sent, byte by byte. Anything
// unexpected (a socket that ends, a wrong byte, an answer that never comes) is
// an error in the result; a measurement with errors is a failed one.
//
// The generator shares the machine with what it measures, so it is lean: one
// thread with an epoll loop by default, one read and one write a round trip,
// no allocation while it measures. Messages are masked with a key of zero,
// which is legal, costs neither end anything, and is invisible to a balancer.
//
// Linux only; elsewhere [Run] returns [ErrUnsupported].
package load

import "errors"

// ErrBusy is returned by Run when other work on the machine kept the generator
// from measuring.
var ErrBusy = errors.New("the machine is too busy to measure")

// ErrUnsupported is returned by Run on systems without epoll.
var ErrUnsupported = errors.New("run load: the load generator is built on epoll; run it on Linux")
