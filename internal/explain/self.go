package explain

// selfPages: Holdfast's own state.
var selfPages = []Page{
	{9001, "stopping", 503, "this process is shutting down",
		"Holdfast was told to stop and takes nothing new.",
		"/readyz answers 503 from that moment on.",
		"Have what is in front ask /readyz, and connect again: the next instance answers."},
	{9002, "unsupported", 501, "not supported by this build",
		"The system or the connection cannot do what the request needs.",
		"`holdfast version`, and docs/operations.md for what each system can do.",
		"Run Holdfast on Linux."},
	{9003, "cut_at_deadline", 0, "requests or sockets were cut at shutdown.deadline",
		"They had not ended by themselves when the time was up.",
		"How many, beside this line.",
		"Raise shutdown.deadline, and TimeoutStopSec of the unit with it."},
}
