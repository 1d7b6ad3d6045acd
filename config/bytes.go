package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes, written as 512, 16KiB, 1MiB or 1GiB.
type Bytes int64

// byteUnits from the largest to the smallest, so that String finds the
// shortest exact form first.
var byteUnits = []struct {
	name string
	size Bytes
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"B", 1},
}

// ParseBytes reads a whole number of bytes with an optional unit: B, KiB, MiB
// or GiB. It is an error to write a fraction, a negative size, a decimal unit
// such as KB, or more than an int64 holds.
func ParseBytes(text string) (Bytes, error) {
	number := strings.TrimRight(text, "BKMGibkmgTt")
	unit := text[len(number):]
	size := Bytes(1)
	if unit != "" {
		size = 0
		for _, u := range byteUnits {
			if u.name == unit {
				size = u.size
			}
		}
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(number, " "), 10, 63)
	if err != nil || size == 0 {
		return 0, fmt.Errorf("%q is not a size, write a whole number and B, KiB, MiB or GiB, such as 16KiB", text)
	}
	if Bytes(n) > math.MaxInt64/size {
		return 0, fmt.Errorf("%q is more than can be counted, write less than 8589934592GiB", text)
	}
	return Bytes(n) * size, nil
}

// String is the shortest exact form that ParseBytes reads, such as 16KiB.
func (b Bytes) String() string {
	if b == 0 {
		return "0"
	}
	unit := byteUnits[0]
	for _, unit = range byteUnits {
		if b%unit.size == 0 {
			break // at the latest for single bytes
		}
	}
	return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
}
