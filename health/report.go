package health

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/internal/explain"
)

// Headers of a health answer in which a backend says how full it is.
const (
	loadHeader     = "X-Holdfast-Load"     // 0, empty, to 1, full
	capacityHeader = "X-Holdfast-Capacity" // sockets that it can hold
	drainHeader    = "X-Holdfast-Drain"    // 1: no new sockets, and the old ones are to leave
)

// believedIntervals is for how many intervals of a backend that does not answer
// its last report is believed.
const believedIntervals = 3

// LoadReport is what a backend says of itself.
type LoadReport struct {
	Load     float64 // 0 to 1; negative: not told
	Capacity int     // 0: not told
	Drain    bool
	At       time.Time // when it said so
}

// garble is what is wrong with a report: a header and its value. Who writes one
// header wrongly in a new way each time has not changed.
type garble struct{ header, expected string }

// readReport reads the report in an answer's header; told is false if there is
// none. Headers that make no sense, or come twice, are passed over, and the first
// of them is named, with its value.
func readReport(h http.Header) (r LoadReport, told bool, wrong garble, value string) {
	r.Load = -1
	read := func(header, expected string, parse func(text string) bool) {
		values := h.Values(header)
		if len(values) == 0 {
			return
		}
		text := strings.TrimSpace(strings.Join(values, ", "))
		switch {
		case parse(text):
			told = true
		case wrong == garble{}:
			wrong, value = garble{header, expected}, explain.Line(text, maxWhy)
		}
	}
	read(loadHeader, "a number from 0 to 1", func(text string) bool {
		// What else ParseFloat takes, such as NaN and hexadecimal digits, is a
		// mistake here.
		if strings.Trim(text, "0123456789.eE+-") != "" {
			return false
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f < 0 || f > 1 {
			return false
		}
		r.Load = f
		return true
	})
	read(capacityHeader, "a whole number, 1 or more", func(text string) bool {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n == 0 {
			return false
		}
		r.Capacity = int(n)
		return true
	})
	read(drainHeader, "1 or 0", func(text string) bool {
		switch strings.ToLower(text) {
		case "1", "true":
			r.Drain = true
		case "0", "false":
		default:
			return false
		}
		return true
	})
	return r, told, wrong, value
}

// hears is what one worker remembers of its backend's reports.
type hears struct {
	report *LoadReport // believed; nil: none
	wrong  garble      // in the last answer
}

// hear takes one probe's answer in. It is true if what is wrong with the reports
// has changed: value is then the header's, unless nothing is wrong any more.
func (l *hears) hear(a answer, interval time.Duration) (changed bool, value string) {
	if a.header == nil {
		if l.report != nil && a.at.Sub(l.report.At) >= believedIntervals*interval {
			l.report = nil
		}
		return false, ""
	}
	r, told, wrong, value := readReport(a.header)
	l.report = nil
	if told {
		r.At = a.at
		l.report = &r
	}
	changed = wrong != l.wrong
	l.wrong = wrong
	return changed, value
}
