package explain

// tlsPages: certificates and records.
var tlsPages = []Page{
	{5001, "clear_text", 400, "a client speaks HTTP where TLS is expected",
		"Somebody asks this port for http:// or ws://, so that the first bytes are no TLS record.",
		"client beside this line; a health check of another balancer may be it.",
		"Write https:// or wss:// in the client, or let it ask the listener that has no tls."},
}
