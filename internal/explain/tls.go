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
	{5101, "certificate_kept", 0, "changed certificate files are not taken, what was read before stays in use",
		"A certificate, its key or client_ca was replaced by something that does not do: a pair that does not match, an empty or unreadable file.",
		"The error beside this line; `holdfast check --config FILE` reads the same files.",
		"Put a certificate and the key that belongs to it there, each written beside the file and renamed over it. They are taken by themselves."},
	{5102, "certificate_ends", 0, "a certificate expires soon",
		"Less than 14 days, or a third of its life, are left, and nothing has renewed it.",
		"Whatever renews it: its timer, its log, and whether it writes to the path in detail.",
		"Renew the certificate. New files are taken by themselves."},
	{5103, "certificate_expired", 0, "a certificate is not valid now",
		"Its end has passed, or its beginning has not come. It is served all the same, and clients refuse it.",
		"The times in detail, and the clock of this machine.",
		"Renew the certificate. New files are taken by themselves."},
	{5104, "order_failed", 0, "a certificate could not be ordered",
		"The authority refused the order, could not reach this host by the domain's name on port 80 or 443, or was not reached itself.",
		"The error beside this line is the authority's; the domain's DNS; whether ports 80 and 443 of its address lead here.",
		"Mend what the error names. The order is repeated by itself, after longer and longer pauses; what is in use stays so."},
}
