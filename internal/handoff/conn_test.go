//go:build unix

package handoff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// pair returns both ends.
func pair(t testing.TB) (*Conn, *Conn) {
	t.Helper()
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	for _, c := range []*Conn{a, b} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return a, b
}

// files opens n pipes' reading ends, with a byte to read in each that tells
// which it is.
func files(t testing.TB, n int) (fds []int) {
	t.Helper()
	for i := range n {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		t.Cleanup(func() { r.Close() })
		fds = append(fds, int(r.Fd()))
	}
	return fds
}

// holds tells whether fd is the i-th of files.
func holds(fd, i int) bool {
	var b [2]byte
	n, err := syscall.Read(fd, b[:])
	return err == nil && n == 1 && b[0] == byte(i)
}

func TestFramesArriveWithTheirDescriptors(t *testing.T) {
	a, b := pair(t)
	fds := files(t, MaxDescriptors+2)
	large := strings.Repeat("x", 3<<20)
	go func() {
		for _, err := range []error{
			a.Send(1, "none"), a.Send(2, large, fds[:MaxDescriptors]...), a.Send(3, "behind", fds[MaxDescriptors:]...), a.Send(4, nil),
		} {
			if err != nil {
				t.Error(err)
			}
		}
		a.Close()
	}()
	next := 0
	for i, want := range []struct {
		body        string
		descriptors int
	}{{"none", 0}, {large, MaxDescriptors}, {"behind", 2}, {"", 0}} {
		f, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		var body string
		if err := f.Decode(&body); err != nil || body != want.body || int(f.Kind) != i+1 || len(f.Descriptors) != want.descriptors {
			t.Fatalf("frame %d: kind %d, %d bytes, %d descriptors, %v", i, f.Kind, len(body), len(f.Descriptors), err)
		}
		for _, fd := range f.Descriptors {
			if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
				t.Errorf("descriptor %d survives an exec", fd)
			}
			if !holds(fd, next) {
				t.Errorf("descriptor %d is another one", next)
			}
			next++
		}
		f.Close()
		f.Close() // does nothing
	}
	if _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last frame comes %v, want io.EOF", err)
	}
}

func TestSendRefusesWhatIsTooMuch(t *testing.T) {
	a, _ := pair(t)
	if err := a.Send(1, nil, files(t, MaxDescriptors+1)...); err == nil {
		t.Error("a frame with too many descriptors is sent")
	}
	if err := a.Send(1, func() {}); err == nil {
		t.Error("a body that is no JSON is sent")
	}
}

// A frame whose descriptors this process may not have is lost, but not what
// comes behind it.
func TestDescriptorsBeyondTheLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems keep what they could not deliver")
	}
	a, b := pair(t)
	fds := files(t, 8)
	if err := errors.Join(a.Send(1, "lost", fds...), a.Send(2, "kept", fds[3])); err != nil {
		t.Fatal(err)
	}
	next := files(t, 1)[0] // the lowest that is free is not above it
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	few := was
	few.Cur = uint64(next) + 4
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	_, err := b.Receive()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, ErrDescriptors) {
		t.Fatalf("with room for three of eight descriptors: %v", err)
	}
	f, err := b.Receive()
	if err != nil || f.Kind != 2 || len(f.Descriptors) != 1 || !holds(f.Descriptors[0], 3) {
		t.Fatalf("the frame behind is %+v, %v", f, err)
	}
	f.Close()
}

// What is no frame is an error, and leaves no descriptor open.
func TestReceiveRefuses(t *testing.T) {
	head := func(size int, descriptors byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(size)), 1, descriptors)
	}
	for name, c := range map[string]struct {
		bytes []byte
		sent  int
	}{
		"half a head":               {head(4, 0)[:3], 1},
		"half a body":               {append(head(4, 1), "ab"...), 1},
		"a body that is too large":  {head(MaxBody+1, 0), 0},
		"a body that never comes":   {head(MaxBody, 0), 0},
		"descriptors not announced": {append(head(2, 1), "{}"...), 3},
		"descriptors that lack":     {append(head(2, 3), "{}"...), 1},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			if _, _, err := a.unix.WriteMsgUnix(c.bytes, syscall.UnixRights(files(t, c.sent)...), nil); err != nil {
				t.Fatal(err)
			}
			a.Close()
			if f, err := b.Receive(); err == nil || err == io.EOF {
				t.Errorf("%+v, %v", f, err)
			}
		})
	}
	// Descriptors that come in the middle of a body.
	a, b := pair(t)
	if _, err := a.unix.Write(head(2, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.unix.WriteMsgUnix([]byte("{}"), syscall.UnixRights(files(t, 1)...), nil); err != nil {
		t.Fatal(err)
	}
	if f, err := b.Receive(); err == nil {
		t.Errorf("descriptors came within a body, and it is %+v", f)
	}
}

// A side that ends with something unread is at an end, not an error: it may have
// died at any moment.
func TestAnEndWithSomethingUnread(t *testing.T) {
	a, b := pair(t)
	if err := errors.Join(a.Send(1, "unread"), b.Send(2, "last", files(t, 1)...)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	f, err := a.Receive()
	if err != nil || f.Kind != 2 || len(f.Descriptors) != 1 {
		t.Fatalf("what it has sent: %+v, %v", f, err)
	}
	f.Close()
	if _, err := a.Receive(); err != io.EOF {
		t.Errorf("behind that comes %v, want io.EOF", err)
	}
}

// One that receives no more can still answer.
func TestStopReceiving(t *testing.T) {
	a, b := pair(t)
	waits := make(chan error)
	go func() {
		_, err := a.Receive()
		waits <- err
	}()
	a.StopReceiving()
	if err := <-waits; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a Receive that waits ends with %v", err)
	}
	if err := errors.Join(b.Send(1, "late", files(t, 1)...), a.Send(2, "answer")); err != nil {
		t.Fatal(err)
	}
	if f, err := b.Receive(); err != nil || f.Kind != 2 {
		t.Errorf("the answer is %+v, %v", f, err)
	}
	if f, err := a.Receive(); err == nil {
		t.Errorf("it has received %+v", f)
	}
}

func TestOpenRefuses(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fd, err := syscall.Dup(int(r.Fd()))
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fd); err == nil {
		t.Error("a pipe is taken for a channel")
	}
	if _, err := Open(1 << 20); err == nil {
		t.Error("a descriptor that is not open is taken for a channel")
	}
}

// FuzzReceive has a peer send anything in pieces, with descriptors anywhere.
// What is received is what a simple parser makes of it; nothing stays open.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x01\x01{}\x00\x00\x00\x00\x02\x00"), uint8(3), uint8(1))
	f.Add([]byte("\x00\x00\x00\x02\x01\x02{}"), uint8(8), uint8(2))
	f.Add([]byte("\xff\xff\xff\xff\x01\x00"), uint8(1), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, piece, descriptors uint8) {
		a, b := pair(t)
		fds := files(t, int(descriptors%4))
		go func() {
			defer a.Close()
			for rest := data; len(rest) > 0; {
				part := rest[:min(len(rest), max(1, int(piece)))]
				rest = rest[len(part):]
				if _, _, err := a.unix.WriteMsgUnix(part, syscall.UnixRights(fds...), nil); err != nil {
					return // the other end is gone
				}
			}
		}()
		rest := data
		for {
			got, err := b.Receive()
			if err != nil && !errors.Is(err, ErrDescriptors) {
				if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && len(rest) > 0 {
					t.Fatalf("%v with %d bytes left", err, len(rest))
				}
				return
			}
			size := int(binary.BigEndian.Uint32(rest))
			if err == nil {
				if got.Kind != rest[4] || len(got.Descriptors) != int(rest[5]) || !bytes.Equal(got.Body, rest[headSize:headSize+size]) {
					t.Fatalf("frame %+v of %q", got, rest)
				}
				got.Close()
			}
			rest = rest[headSize+size:]
		}
	})
}
