package explain

// listenerPages: connections, before and beside requests.
var listenerPages = []Page{
	{4001, "max_connections", 503, "listener is at limits.max_connections",
		"As many clients are connected as the listener may hold, open sockets included.",
		"holdfast_listener_connections_open; /api/v1/pools for the sockets.",
		"Raise limits.max_connections (two descriptors a WebSocket), or add an instance."},
	{4002, "max_connections_per_ip", 429, "an address is at limits.max_connections_per_ip",
		"One address, or one IPv6 /64, holds as many connections as it may: a crowd behind one NAT, another proxy, or an attack.",
		"client beside this line. If it is a proxy's, all of its users count as one.",
		"Raise limits.max_connections_per_ip for crowds; do not set it behind another proxy."},
	{4003, "too_many_handshakes", 429, "an address is above limits.handshakes_per_second_per_ip",
		"One address opens WebSockets faster than it may: clients that reconnect without a pause, or a crowd behind one NAT.",
		"client in the access log; behind another proxy, trusted_proxies of the listener.",
		"Give clients a growing pause between attempts, or raise limits.handshakes_per_second_per_ip."},
	{4004, "overloaded", 503, "no descriptor is left for another client",
		"The process has as many files and sockets open as it may. The last eighth, between 64 and 1,024 of them, is kept for open sockets, for the admin address and for reloads; no new client gets one of those.",
		"process_open_fds and process_max_fds in /metrics.",
		"Raise LimitNOFILE= of the unit or `ulimit -n`, and set limits.max_connections below half of it."},
	{4005, "accept_failed", 0, "connections cannot be accepted",
		"The system refuses to accept, mostly because no descriptor is left. It is tried again until it works.",
		"The error beside this line; holdfast_listener_accept_errors_total.",
		"Raise LimitNOFILE= of the unit or `ulimit -n`, and set limits.max_connections below half of it."},
	{4006, "panicked", 500, "a request could not be handled",
		"A mistake in Holdfast. The request was answered with 500, all others go on.",
		"panic and stack beside this line.",
		"Report it with the stack."},
}
