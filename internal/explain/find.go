package explain

import (
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-lb/holdfast/internal/spelling"
)

// Find returns the page that text names: by code, as HF-2003, hf2003 or 2003,
// or by name, as connect_failed. If there is none, found is false, and p is the
// page that a typing mistake was probably meant for; nil: none is near.
func Find(text string) (p *Page, found bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "hf"), "-")
	if n, err := strconv.Atoi(digits); err == nil {
		return byNumber(n)
	}
	name := strings.ReplaceAll(strings.ReplaceAll(text, "-", "_"), " ", "_")
	return byName(name)
}

// byNumber takes a code for meant that has another digit in one place, one too
// many or one too few; of several, the one that is nearest by number.
func byNumber(n int) (p *Page, found bool) {
	digits, least := strconv.Itoa(n), 0
	for i := range pages {
		c := int(pages[i].Code)
		if c == n {
			return &pages[i], true
		}
		d := abs(c - n)
		if (p == nil || d < least) && spelling.Distance(strconv.Itoa(c), digits) == 1 {
			p, least = &pages[i], d
		}
	}
	return p, false
}

func byName(name string) (p *Page, found bool) {
	names := make([]string, len(pages))
	for i := range pages {
		names[i] = pages[i].Name
	}
	near, ok := spelling.Nearest(name, names)
	if !ok {
		return nil, false
	}
	p = &pages[slices.Index(names, near)]
	return p, p.Name == name
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
