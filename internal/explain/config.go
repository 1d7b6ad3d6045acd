package explain

// configPages: what keeps a configuration from running.
var configPages = []Page{
	{6001, "configuration_wrong", 0, "the configuration has mistakes",
		"The file does not say what can be run. Each mistake has a line with its key, the value and the remedy.",
		"`holdfast check --config FILE` prints all mistakes at once.",
		"Correct each line. What ran before goes on running: a reload of a wrong file changes nothing."},
	{6002, "reload_failed", 0, "the reload failed, the configuration before it stays",
		"The file has mistakes, a file that it names cannot be read, or an address cannot be bound.",
		"The lines before this one, and the error beside it.",
		"Mend it and send SIGHUP again. Nothing has changed meanwhile."},
	{6003, "address_taken", 0, "an address cannot be bound",
		"Another process has the port (often the web server that Holdfast is to replace), the address is not of this machine, or ports below 1024 need a capability.",
		"`ss -ltnp` names who has a port.",
		"Stop the other process, choose another address, or start with the unit, which has CAP_NET_BIND_SERVICE."},
	{6004, "file_unreadable", 0, "a file cannot be read or opened",
		"A configuration, users, secret or log file is not there, is a pipe or a directory, is too long, or this user may not read or write it.",
		"`ls -l` of the path in the message, as the user that Holdfast runs as.",
		"Correct the path or the file's owner and mode. Secrets belong to the service's user with mode 0600."},
	{6005, "upgrade_failed", 0, "the upgrade failed, or not all sockets came along; the process before it goes on",
		"The program at this one's path does not start, is not Holdfast, refuses the configuration file or is not ready in time; or a process has ended in the middle.",
		"The error beside it, and what the program wrote to the same standard error.",
		"`PROGRAM check --config FILE` with the program that was put there finds most of it. Mend it and send SIGUSR2 again. Nothing is lost meanwhile."},
}
