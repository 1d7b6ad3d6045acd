package config

import (
	"net/url"
	"slices"
	"time"
)

// Webhook is a server that is told of events by POST.
type Webhook struct {
	Name       string        `koanf:"name"` // in metrics and logs; the host of URL by default
	URL        string        `koanf:"url"`
	Events     []string      `koanf:"events"`      // some of [EventKinds]; empty: all
	SecretFile string        `koanf:"secret_file"` // what signs; empty: nothing is signed
	Timeout    time.Duration `koanf:"timeout"`     // of one attempt
}

// EventKinds are the kinds of events that can be asked for.
var EventKinds = []string{"health", "mode", "drain", "reload", "upgrade", "discovery", "socket", "memory"}

// maxWebhookTimeout keeps all attempts of one delivery within the minutes for
// which receivers take a signature to be fresh.
const maxWebhookTimeout = time.Minute

func (w *Webhook) setDefaults() { w.Timeout = 5 * time.Second }

func (w *Webhook) complete(absolute func(string) string) {
	w.SecretFile = absolute(w.SecretFile)
	if u, err := url.Parse(w.URL); err == nil && w.Name == "" {
		w.Name = u.Host
	}
}

// webhookFiles are the files that webhooks name.
func (c *Config) webhookFiles() (files []string) {
	for _, w := range c.Webhooks {
		if w.SecretFile != "" {
			files = append(files, w.SecretFile)
		}
	}
	return files
}

// maskPath leaves of a URL what is no secret for certain: some services take
// whoever knows the path for their user.
func maskPath(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	address := u.Scheme + "://" + u.Host
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		address += "/" + redacted
	}
	return address
}

func (v validator) webhooks(list []Webhook) {
	owners := map[string]string{}
	for i, w := range list {
		path := joinIndex("webhooks", i)
		if w.URL == "" {
			v.check(path+".url", "is missing, write where events are sent to, such as https://ops.example.com/holdfast")
			continue
		}
		v.peerURL(path+".url", w.URL, "can read what is told")
		v.name(path+".name", w.Name)
		v.unique(owners, "name", w.Name, path, path+".name")
		for j, kind := range w.Events {
			v.oneOf(joinIndex(path+".events", j), kind, EventKinds...)
			if slices.Contains(w.Events[:j], kind) {
				v.check(joinIndex(path+".events", j), "%q stands there twice, write it once", kind)
			}
		}
		if w.Timeout <= 0 || w.Timeout > maxWebhookTimeout {
			v.check(path+".timeout", "%s is out of range, write more than 0, up to %s", w.Timeout, "1m")
		}
	}
}
