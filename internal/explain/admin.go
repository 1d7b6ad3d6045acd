package explain

// adminPages: what operators are told, and how.
var adminPages = []Page{
	{8001, "webhook_failed", 0, "a webhook takes no events",
		"The server cannot be reached, answers too late, or answers with a status other than 2xx, at four attempts in a row.",
		"The error beside this line; holdfast_webhook_events_total by webhook and result; the log of the server.",
		"Mend the server, or its url in webhooks; a redirect is not followed. What was lost meanwhile is in /api/v1/events."},
	{8002, "webhook_dropped", 0, "a webhook is too slow, so that events for it are dropped",
		"256 events wait for the server already, because it answers slowly or not at all.",
		"HF-8001 before this line; how often backends change, in /api/v1/events.",
		"Make the server answer before it does what it does with an event, or have it told of fewer kinds of events."},
	{8003, "traces_failed", 0, "the collector takes no spans",
		"It cannot be reached, answers too late, or answers with a status other than 2xx.",
		"The error beside this line; holdfast_trace_spans_total by result; the log of the collector.",
		"Mend the collector, or endpoint and headers in tracing; OTLP over HTTP is at port 4318 as a rule, and a redirect is not followed."},
}
