package explain

import (
	"log/slog"
	"slices"
	"strconv"
)

// Code is the number of a failure; 0: none. Its thousand says whose affair it
// is; see [Chapters].
type Code uint16

// String returns the code as it is written everywhere: HF-2003, and nothing
// for none.
func (c Code) String() string {
	if i, ok := at(c); ok {
		return ids[i]
	}
	if c == 0 {
		return ""
	}
	return idOf(c)
}

// Page returns what is known of the code; nil: nothing.
func (c Code) Page() *Page {
	if i, ok := at(c); ok {
		return &pages[i]
	}
	return nil
}

// OfBackend tells whether a single backend is to blame.
func (c Code) OfBackend() bool { return c/1000 == 2 || c == 7004 || c == 7006 }

// at is where the page of c is.
func at(c Code) (int, bool) {
	return slices.BinarySearchFunc(pages, c, func(p Page, c Code) int { return int(p.Code) - int(c) })
}

func idOf(c Code) string { return "HF-" + strconv.Itoa(int(c)) }

// Page explains one failure.
type Page struct {
	Code Code
	// Name is the word that answers, access log and metrics have for it.
	Name string
	// Status is that of the answer which says so; 0: there is no answer.
	Status int
	// Title says what happened, in the words of the log.
	Title string
	// Cause, Look and Remedy are whole sentences for the operator.
	Cause, Look, Remedy string
}

// routine are failures that healthy traffic has all the time.
var routine = []Code{1012, 3003, 3006, 7002, 7003}

// broken are failures in a chapter of refusals: clients are in the right, and
// the operator has something to mend.
var broken = []Code{3010, 3012, 3013}

// Level is how loudly the log speaks of it.
func (p *Page) Level() slog.Level {
	switch {
	case slices.Contains(routine, p.Code):
		return slog.LevelDebug
	case slices.Contains(broken, p.Code):
		return slog.LevelWarn
	}
	return Chapters[p.Code/1000-1].level
}

// Chapter is a thousand of codes.
type Chapter struct {
	Title string
	level slog.Level
	pages []Page
}

// Chapters are all pages in order. They are not changed.
var Chapters = [...]Chapter{
	{"The request", slog.LevelInfo, requestPages},
	{"Backends", slog.LevelWarn, backendPages},
	{"Who may come in", slog.LevelInfo, accessPages},
	{"Listeners and their limits", slog.LevelWarn, listenerPages},
	{"TLS and certificates", slog.LevelWarn, tlsPages},
	{"Configuration and start", slog.LevelError, configPages},
	{"Ends of open sockets", slog.LevelInfo, socketPages},
	{"Administration", slog.LevelWarn, adminPages},
	{"Holdfast itself", slog.LevelError, selfPages},
}

// pages are those of all chapters, sorted by code, and ids their names, which
// are wanted often.
var pages, ids = func() (all []Page, ids []string) {
	for i := range Chapters {
		for _, p := range Chapters[i].pages {
			all = append(all, p)
			ids = append(ids, idOf(p.Code))
		}
	}
	return all, ids
}()

// Pages returns all pages, sorted by code. The caller changes nothing.
func Pages() []Page { return pages }

// Named returns the code of the failure of that name; 0: there is none.
func Named(name string) Code {
	for i := range pages {
		if pages[i].Name == name {
			return pages[i].Code
		}
	}
	return 0
}
