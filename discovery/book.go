package discovery

import (
	"cmp"
	"slices"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// answer is what a source has said.
type answer struct {
	backends []config.Backend // in any order
	has      map[string]bool  // their URLs, if add has put them together
	good     time.Duration    // for how long it may be used
}

// maxSpell bounds how many troubles of one spell are told, since some kinds are
// the source's to invent.
const maxSpell = 16

// rules are what a list must keep to.
type rules struct {
	most       int
	allowEmpty bool
}

// book remembers what one source has said. It has no clock and no lock.
type book struct {
	backends []config.Backend // of the last answer that was taken, by address
	answered bool             // one was taken
	spell    []string         // kinds of the troubles since then, in order
	why      string           // the last of them; "": the last answer was taken
}

// news is what an answer has changed.
type news struct {
	list    bool // the backends
	trouble bool // one that is new in this spell: the log's affair
	over    bool // the spell
}

// take judges an answer, or the error in its place, and remembers it.
func (b *book) take(a answer, err error, r rules) (n news) {
	if err == nil {
		err = r.judge(a.backends)
	}
	if err != nil {
		t := troubleOf(err)
		b.why = t.detail
		if n.trouble = len(b.spell) < maxSpell && !slices.Contains(b.spell, t.kind); n.trouble {
			b.spell = append(b.spell, t.kind)
		}
		return n
	}
	n.over = len(b.spell) > 0
	b.spell, b.why = nil, ""
	list := slices.Clone(a.backends)
	slices.SortStableFunc(list, func(x, y config.Backend) int { return cmp.Compare(x.URL, y.URL) })
	n.list = !b.answered || !slices.Equal(list, b.backends)
	b.backends, b.answered = list, true
	return n
}

func (r rules) tooMany(n int) error {
	return troubled("too many", "%d backends, %d are allowed: raise max_backends if that is meant", n, r.most)
}

// judge says what is wrong with a list.
func (r rules) judge(list []config.Backend) error {
	switch {
	case len(list) > r.most:
		return r.tooMany(len(list))
	case len(list) == 0 && !r.allowEmpty:
		return troubled("empty", "the answer holds no backend: write allow_empty if that is meant")
	}
	return nil
}
