package explain

// tlsPages: certificates and records.
var tlsPages = []Page{
	{5001, "clear_text", 400, "a client speaks HTTP where TLS is expected",
		"Somebody asks this port for http:// or ws://, so that the first bytes are no TLS record.",
		"client beside this line; a health check of another balancer may be it.",
		"Write https:// or wss:// in the client, or let it ask the listener that has no tls."},
	{5002, "tls_record", 400, "a client speaks TLS where plain HTTP is expected",
		"The listener has no tls, and somebody asks it for https:// or wss://. Browsers call the answer SSL_ERROR_RX_RECORD_TOO_LONG or ERR_SSL_PROTOCOL_ERROR.",
		"client and listener beside this line.",
		"Give the listener tls with certificates, or have clients ask the listener that has it."},
}
