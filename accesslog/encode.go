package accesslog

import (
	"strconv"
	"unicode/utf8"
)

// appendJSON appends r as one line of JSON (RFC 8259). Bytes that are not
// UTF-8 become U+FFFD.
func appendJSON(b []byte, r *Record) []byte {
	b = append(b, `{"time":"`...)
	b = r.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z07:00")
	kind := "http"
	if r.Socket {
		kind = "websocket"
	}
	b = append(b, `","kind":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	b = appendText(b, "listener", r.Listener)
	b = appendText(b, "route", r.Route)
	b = append(b, `,"client":"`...)
	b = appendClient(b, r, "")
	b = append(b, '"')
	if r.User != "" {
		b = appendText(b, "user", r.User)
	}
	b = appendText(b, "method", r.Method)
	b = appendText(b, "host", r.Host)
	b = appendText(b, "uri", r.URI)
	b = appendText(b, "proto", r.Proto)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, `,"duration":`...)
	b = strconv.AppendFloat(b, r.Duration.Seconds(), 'f', 6, 64)
	b = appendNumber(b, "bytes_in", r.BytesIn)
	b = appendNumber(b, "bytes_out", r.BytesOut)
	if r.Socket {
		b = appendNumber(b, "frames_in", r.FramesIn)
		b = appendNumber(b, "frames_out", r.FramesOut)
		b = appendNumber(b, "close_code", uint64(r.CloseCode))
		b = appendText(b, "closed_by", r.ClosedBy)
		b = appendText(b, "close_reason", r.CloseReason)
	}
	b = appendText(b, "backend", r.Backend)
	b = appendText(b, "request_id", r.RequestID)
	b = appendText(b, "user_agent", r.UserAgent)
	b = appendText(b, "referer", r.Referer)
	if r.Error != "" {
		b = appendText(b, "error", r.Error)
	}
	if r.Code != "" {
		b = appendText(b, "code", r.Code)
	}
	return append(b, '}', '\n')
}

// appendClient appends the client's address, or none if it has no address. The
// zone is left out: it can be any text, and means nothing but on this machine.
func appendClient(b []byte, r *Record, none string) []byte {
	if !r.Client.IsValid() {
		return append(b, none...)
	}
	return r.Client.WithZone("").AppendTo(b)
}

func appendNumber(b []byte, key string, n uint64) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return strconv.AppendUint(b, n, 10)
}

func appendText(b []byte, key, s string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':', '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(b, s[from:i]...)
				b = append(b, `\ufffd`...)
				from = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			b = append(b, s[from:i]...)
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			from = i + 1
		}
		i++
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// appendCombined appends r as one line of Apache's combined format,
//
//	%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"
//
// A socket is the line of its 101, with the bytes that the client was sent.
// Control bytes, quotes and backslashes are escaped as Apache does, and the
// blanks of a user's name too.
func appendCombined(b []byte, r *Record) []byte {
	b = appendClient(b, r, "-")
	b = append(b, " - "...)
	b = appendUser(b, r.User)
	b = append(b, " ["...)
	b = r.Time.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, r.Method)
	b = append(b, ' ')
	b = appendEscaped(b, r.URI)
	b = append(b, ' ')
	b = appendEscaped(b, r.Proto)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	if r.BytesOut == 0 {
		b = append(b, '-')
	} else {
		b = strconv.AppendUint(b, r.BytesOut, 10)
	}
	b = appendQuoted(b, r.Referer)
	b = appendQuoted(b, r.UserAgent)
	return append(b, '\n')
}

func appendUser(b []byte, name string) []byte {
	if name == "" {
		return append(b, '-')
	}
	for i := range len(name) {
		if name[i] == ' ' {
			b = append(b, `\x20`...)
			continue
		}
		b = appendEscaped(b, name[i:i+1])
	}
	return b
}

func appendQuoted(b []byte, s string) []byte {
	if s == "" {
		return append(b, ` "-"`...)
	}
	b = append(b, ' ', '"')
	b = appendEscaped(b, s)
	return append(b, '"')
}

func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}
