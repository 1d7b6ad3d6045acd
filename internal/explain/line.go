package explain

import (
	"strings"
	"unicode"
)

// Line makes one line of what others have written, such as an error that quotes
// a backend: no byte of it steers a terminal or looks like a line of ours, and
// it is not much longer than n bytes.
func Line(text string, n int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.Join(strings.Fields(text), " "))
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "") + "..."
	}
	return text
}
