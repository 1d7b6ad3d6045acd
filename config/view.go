package config

import (
	"reflect"
	"strings"
	"time"
)

// View is c as a tree of maps, lists and plain values under the keys of the
// file, with every default in its place: what encoding/json makes of it could
// be loaded again, but for what is secret, which reads [redacted]: secrets,
// queries of URLs, paths of webhooks, and the values of header fields whose
// names say that they carry one. It shares nothing with c.
func (c *Config) View() map[string]any {
	return viewOf(reflect.ValueOf(c).Elem()).(map[string]any)
}

func viewOf(v reflect.Value) any {
	switch value := v.Interface().(type) {
	case Secret:
		return value.String()
	case Bytes:
		return value.String()
	case time.Duration:
		return shortDuration(value)
	case JWTAuth:
		value.JWKSURL = maskQuery(value.JWKSURL)
		v = reflect.ValueOf(value)
	case ForwardAuth:
		value.URL = maskQuery(value.URL)
		v = reflect.ValueOf(value)
	case Tracing:
		value.Endpoint = maskQuery(value.Endpoint)
		v = reflect.ValueOf(value)
	case Webhook:
		value.URL = maskPath(value.URL)
		v = reflect.ValueOf(value)
	case HTTPDiscovery:
		value.URL = maskQuery(value.URL)
		v = reflect.ValueOf(value)
	case HeaderRules:
		value.Set, value.Add = maskHeaders(value.Set), maskHeaders(value.Add)
		v = reflect.ValueOf(value)
	}
	switch v.Kind() {
	case reflect.Struct:
		fields := make(map[string]any, v.NumField())
		for i := range v.NumField() {
			fields[v.Type().Field(i).Tag.Get("koanf")] = viewOf(v.Field(i))
		}
		return fields
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return viewOf(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = viewOf(v.Index(i))
		}
		return list
	case reflect.Map:
		entries := make(map[string]any, v.Len())
		for _, key := range v.MapKeys() {
			entries[key.String()] = viewOf(v.MapIndex(key))
		}
		return entries
	}
	return v.Interface()
}

// telling are parts of the names of header fields that carry secrets.
var telling = []string{"auth", "cookie", "key", "pass", "secret", "token"}

func maskHeaders(fields map[string]string) map[string]string {
	masked := make(map[string]string, len(fields))
	for name, value := range fields {
		for _, part := range telling {
			if strings.Contains(strings.ToLower(name), part) {
				value = redacted
			}
		}
		masked[name] = value
	}
	return masked
}

func maskQuery(url string) string {
	address, _, found := strings.Cut(url, "?")
	if found {
		address += "?" + redacted
	}
	return address
}

// shortDuration writes 30m where Go says 30m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
