// Package spelling tells how near two words are, for those who have mistyped one,
// and writes how many there are of something.
package spelling

import "strconv"

// Count writes a number of things, of which one is called noun and several by
// the same with an s: "1 socket", "2 sockets".
func Count[N int | int64 | uint64](n N, noun string) string {
	text := strconv.FormatInt(int64(n), 10) + " " + noun // #nosec G115 -- nobody has so many
	if n != 1 {
		text += "s"
	}
	return text
}

// Distance is how many bytes must be put in, left out or replaced to make b of
// a (Levenshtein).
func Distance(a, b string) int {
	row := make([]int, len(b)+1) // distances from what was read of a to each beginning of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Nearest finds the candidate that differs least from word, if any is near
// enough to be what a typing mistake was meant to be: two edits, or a third of
// the word. The first of several equally near ones wins.
func Nearest(word string, candidates []string) (string, bool) {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, candidate := range candidates {
		// A short word is two edits away from every other one.
		if d := Distance(word, candidate); d < bestDistance && d < len(candidate) && d < len(word) {
			best, bestDistance = candidate, d
		}
	}
	return best, best != ""
}
