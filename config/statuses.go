package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Statuses is a set of HTTP statuses. The zero value holds none.
type Statuses struct{ ranges [][2]int }

// ParseStatuses reads statuses and ranges of them, from 100 to 599, with
// commas in between: "200-399" or "200,204".
func ParseStatuses(text string) (Statuses, error) {
	var s Statuses
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		low, errLow := strconv.Atoi(from)
		high, errHigh := strconv.Atoi(to)
		if errLow != nil || errHigh != nil || low < 100 || high > 599 || low > high {
			return Statuses{}, fmt.Errorf("%q is not a status or a range of them, write it as 200-399 or 200,204", part)
		}
		s.ranges = append(s.ranges, [2]int{low, high})
	}
	return s, nil
}

// Has tells whether the set holds status.
func (s Statuses) Has(status int) bool {
	for _, r := range s.ranges {
		if r[0] <= status && status <= r[1] {
			return true
		}
	}
	return false
}
