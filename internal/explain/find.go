package explain

import (
	"strconv"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// Find returns the page that text names: by code, as HF-2003, hf2003 or 2003,
// or by name, as connect_failed. If there is none, found is false and the page
// is the nearest one.
func Find(text string) (p *Page, found bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "hf"), "-")
	if n, err := strconv.Atoi(digits); err == nil {
		return byNumber(n)
	}
	name := strings.ReplaceAll(strings.ReplaceAll(text, "-", "_"), " ", "_")
	return byName(name)
}

func byNumber(n int) (*Page, bool) {
	best, least := 0, -1
	for i := range pages {
		c := int(pages[i].Code)
		d := abs(c - n)
		if c/1000 != n/1000 {
			d += 1000 // rather of the same chapter
		}
		if least < 0 || d < least {
			best, least = i, d
		}
	}
	return &pages[best], least == 0
}

func byName(name string) (*Page, bool) {
	best, least := 0, -1
	for i := range pages {
		if d := spelling.Distance(pages[i].Name, name); least < 0 || d < least {
			best, least = i, d
		}
	}
	return &pages[best], least == 0
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
