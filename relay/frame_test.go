package relay

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// appendFrame is the tests' own frame writer.
func appendFrame(dst []byte, op byte, masked bool, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	m := byte(0)
	if masked {
		m = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, m|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, m|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, m|127), uint64(n))
	}
	if !masked {
		return append(dst, payload...)
	}
	key := [4]byte{0x5a, 1, 0xfe, 0x77}
	dst = append(dst, key[:]...)
	for i, c := range payload {
		dst = append(dst, c^key[i&3])
	}
	return dst
}

// reference is the slow parser that the scanner is held against: the whole
// stream at once, frame by frame.
func reference(b []byte) (t Tally, code uint16, closed, boundary bool, ends []int) {
	seen := false
	for off := 0; ; {
		if off == len(b) {
			return t, code, closed, true, ends
		}
		rest := b[off:]
		if len(rest) < 2 || len(rest) < headerSize(rest[1]) {
			return t, code, closed, false, ends
		}
		size := headerSize(rest[1])
		n := uint64(rest[1] & 0x7f)
		switch n {
		case 126:
			n = uint64(binary.BigEndian.Uint16(rest[2:]))
		case 127:
			n = binary.BigEndian.Uint64(rest[2:])
		}
		t[kindOf[rest[0]&15]]++
		whole := uint64(len(rest)-size) >= n
		if rest[0]&15 == 8 && !seen {
			seen = true
			if whole {
				closed, code = true, 1005
				if n >= 2 {
					c := [2]byte{rest[size], rest[size+1]}
					if rest[1]&0x80 != 0 {
						c[0] ^= rest[size-4]
						c[1] ^= rest[size-3]
					}
					code = binary.BigEndian.Uint16(c[:])
				}
			}
		}
		if !whole {
			return t, code, closed, false, ends
		}
		off += size + int(n)
		ends = append(ends, off)
	}
}

func checkScan(t *testing.T, stream []byte, cuts []int) {
	t.Helper()
	var s Scanner
	var got Tally
	prev := 0
	for _, c := range append(cuts, len(stream)) {
		s.Scan(stream[prev:c], &got)
		prev = c
	}
	want, code, closed, boundary, _ := reference(stream)
	if got != want {
		t.Fatalf("frames %v, want %v", got, want)
	}
	if s.Boundary() != boundary {
		t.Fatalf("boundary %v, want %v", s.Boundary(), boundary)
	}
	if s.Closed() != closed || s.CloseCode() != code {
		t.Fatalf("closed %v code %d, want %v %d", s.Closed(), s.CloseCode(), closed, code)
	}
}

// Every header size, cut at every place in two and in three.
func TestScannerEveryCut(t *testing.T) {
	var stream []byte
	for _, masked := range []bool{false, true} {
		for _, n := range []int{0, 1, 2, 125, 126, 127, 200} {
			stream = appendFrame(stream, 1, masked, make([]byte, n))
		}
		stream = appendFrame(stream, 9, masked, []byte("hi"))
		// A long length form for a small payload is odd but has to be followed.
		stream = append(stream, 0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c')
	}
	stream = appendFrame(stream, 8, true, []byte{0x03, 0xe9, 'b', 'y', 'e'})
	for i := 0; i <= len(stream); i++ {
		checkScan(t, stream, []int{i})
		for j := i; j <= len(stream) && j < i+20; j++ {
			checkScan(t, stream, []int{i, j})
		}
	}
	one := make([]int, len(stream))
	for i := range one {
		one[i] = i
	}
	checkScan(t, stream, one)
}

func TestScannerCloseCode(t *testing.T) {
	f := func(payload []byte, masked bool, want uint16) {
		t.Helper()
		stream := appendFrame(nil, 8, masked, payload)
		for cut := 0; cut <= len(stream); cut++ {
			var s Scanner
			var tally Tally
			s.Scan(stream[:cut], &tally)
			if cut < len(stream) && s.Closed() {
				t.Fatalf("closed after %d of %d bytes", cut, len(stream))
			}
			s.Scan(stream[cut:], &tally)
			if got := s.CloseCode(); got != want {
				t.Fatalf("code %d, want %d (cut %d)", got, want, cut)
			}
		}
	}
	f([]byte{0x03, 0xe8}, false, 1000)
	f([]byte{0x03, 0xe8}, true, 1000)
	f([]byte{0x03, 0xf4, 'r', 'e', 's', 't', 'a', 'r', 't'}, true, 1012)
	f(nil, false, 1005)
	f(nil, true, 1005)
	f([]byte{7}, true, 1005) // a payload of one byte breaks RFC 6455, section 5.5.1: no code
}

// Next stops at the end of each frame: the places where a frame may be put in.
func TestScannerNextStopsAtBoundaries(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var stream []byte
		for range 1 + rng.IntN(8) {
			stream = appendFrame(stream, byte(rng.IntN(16)), rng.IntN(2) == 0, make([]byte, rng.IntN(300)))
		}
		_, _, _, _, want := reference(stream)
		var s Scanner
		var tally Tally
		var got []int
		for off := 0; off < len(stream); {
			end := min(len(stream), off+1+rng.IntN(50))
			off += s.Next(stream[off:end], &tally)
			if s.Boundary() {
				got = append(got, off)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d boundaries, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("boundary %d at %d, want %d", i, got[i], want[i])
			}
		}
	}
}

func TestAppendCloseIsOneFrame(t *testing.T) {
	long := string(make([]byte, 300))
	for _, reason := range []string{"", "server is restarting", long} {
		b := appendClose(nil, Client, 1001, reason)
		_, code, closed, boundary, ends := reference(b)
		if !closed || !boundary || code != 1001 || len(ends) != 1 || len(b) > 127 {
			t.Fatalf("reason of %d bytes: code %d, closed %v, boundary %v, %d bytes", len(reason), code, closed, boundary, len(b))
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte{0x81, 0x02, 'h', 'i'}, uint64(1))
	f.Add(appendFrame(appendFrame(nil, 2, true, make([]byte, 300)), 8, true, []byte{3, 232}), uint64(7))
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var cuts []int
		for at := 0; len(stream) > 0; {
			if at += 1 + rng.IntN(1+rng.IntN(20)); at >= len(stream) {
				break
			}
			cuts = append(cuts, at)
		}
		checkScan(t, stream, cuts)
	})
}

// Scanning allocates nothing, wherever reads cut the stream.
func TestScannerDoesNotAllocate(t *testing.T) {
	var stream []byte
	for _, payload := range []int{0, 64, 1 << 10, 70 << 10} {
		stream = appendFrame(stream, 2, true, make([]byte, payload))
	}
	for _, cut := range []int{1, 7, 4096, len(stream)} {
		var s Scanner
		var tally Tally
		if n := testing.AllocsPerRun(10, func() {
			for rest := stream; len(rest) > 0; {
				at := min(cut, len(rest))
				s.Scan(rest[:at], &tally)
				rest = rest[at:]
			}
		}); n != 0 {
			t.Errorf("reads of %d bytes: %v allocations", cut, n)
		}
	}
}

func BenchmarkScanner(b *testing.B) {
	f := func(name string, payload int) {
		stream := appendFrame(nil, 2, true, make([]byte, payload))
		b.Run(name, func(b *testing.B) {
			var s Scanner
			var t Tally
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				s.Scan(stream, &t)
			}
		})
	}
	f("64B", 64)
	f("1KiB", 1024)
	f("64KiB", 64<<10)
}
