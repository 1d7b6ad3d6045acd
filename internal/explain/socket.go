package explain

// socketPages: why sockets that were open have ended, if it was not by a
// Close frame.
var socketPages = []Page{
	{7001, "idle_timeout", 0, "socket was silent for timeouts.idle and was closed with 1001",
		"Neither side sent a byte for that long, not even a Ping.",
		"duration of such lines in the access log, timeouts.idle of the route.",
		"Have client or server send Pings more often than timeouts.idle, or raise it. What is before and behind Holdfast has such a limit too."},
	{7002, "shut_down", 0, "socket was closed with 1001 because this process ends",
		"Holdfast was told to stop or to restart.",
		"The log line about stopping.",
		"Reload in place of a restart where that is enough: it closes no socket."},
	{7003, "client_vanished", 0, "the client ended its socket without a Close frame",
		"The client's process or network went, or something between dropped the connection.",
		"Whether such ends share a duration: then it is a timeout of something between.",
		"Send Pings more often than the shortest timeout on the way. Single ones are ordinary."},
	{7004, "backend_vanished", 0, "the backend ended its socket without a Close frame",
		"The backend's process died or was killed, or it closes connections without a Close frame.",
		"The backend's own log at the time; many at once are one process that died.",
		"Find out from its log why. The client read the end at once and can connect again."},
}
