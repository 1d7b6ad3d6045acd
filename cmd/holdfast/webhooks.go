package main

import (
	"encoding/json"

	"github.com/holdfast-lb/holdfast/admin"
	"github.com/holdfast-lb/holdfast/metrics"
	"github.com/holdfast-lb/holdfast/webhook"
)

// sendEvent has webhooks tell of e, in the form of /api/v1/events. It is called
// under the lock of the events.
func (a *app) sendEvent(e admin.Event) {
	body, err := json.Marshal(e)
	if err != nil {
		return // an Event holds nothing that could not be encoded
	}
	a.webhooks.Send(webhook.Message{ID: e.ID, Kind: e.Kind, Body: body})
}

var webhookResults = map[webhook.Result]metrics.WebhookResult{
	webhook.Delivered: metrics.WebhookDelivered, webhook.Failed: metrics.WebhookFailed, webhook.Dropped: metrics.WebhookDropped,
}

func (a *app) countWebhook(name string, r webhook.Result) { a.metrics.Webhook(name, webhookResults[r]) }
