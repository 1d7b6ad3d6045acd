package metrics

import "github.com/prometheus/client_golang/prometheus"

// WebhookResult says what became of an event for one webhook.
type WebhookResult string

// The results.
const (
	WebhookDelivered WebhookResult = "delivered"
	WebhookFailed    WebhookResult = "failed"  // after all attempts
	WebhookDropped   WebhookResult = "dropped" // it found no room
)

func newWebhookVec() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_webhook_events_total",
		Help: "Events for a webhook by result: delivered, failed (after all attempts), dropped (too many were waiting).",
	}, []string{"webhook", "result"})
}

// Webhook counts an event for a webhook. It takes a lock, for a few
// instructions.
func (m *Metrics) Webhook(name string, r WebhookResult) {
	m.webhooks.WithLabelValues(name, string(r)).Inc()
}
