//go:build unix

// Package handoff is the channel over which one process hands over to the next:
// frames of JSON over a pair of Unix sockets, with descriptors that travel along
// (SCM_RIGHTS, unix(7)).
//
// A frame is its length (4 bytes, big-endian, of the body), what it is (a byte),
// how many descriptors it has (a byte), and its body. The descriptors are
// attached to its first bytes. The reader takes neither more bytes nor more
// descriptors than a frame announces, so a descriptor always belongs to the
// frame that is being read.
//
// Whoever holds a descriptor owns it: those that are sent remain the sender's,
// which may close its own once the receiver has said that it has them; those
// that are received are in a [Frame], which owns them until they are taken.
package handoff

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// MaxDescriptors is how many descriptors a frame may have. Linux takes 253
	// (SCM_MAX_FD).
	MaxDescriptors = 250
	// MaxBody is how large the body of a frame may be, in bytes.
	MaxBody = 64 << 20

	headSize = 6
	// growth is by how much memory for a body is made at first: what a frame
	// announces is not believed before it comes.
	growth = 64 << 10
)

// ErrDescriptors says that a frame came without all of its descriptors, most
// likely since this process may not have more. Those that came are closed, and
// the next frame can be read.
var ErrDescriptors = errors.New("not all descriptors of a frame came: raise the limit of open files")

// Frame is what one side tells the other.
type Frame struct {
	Kind byte
	Body []byte
	// Descriptors are close-on-exec.
	Descriptors []int
}

// Decode reads the body into v.
func (f *Frame) Decode(v any) error {
	if err := json.Unmarshal(f.Body, v); err != nil {
		return fmt.Errorf("read frame of kind %d: %w", f.Kind, err)
	}
	return nil
}

// Take returns the descriptors, which are the caller's from now on.
func (f *Frame) Take() []int {
	fds := f.Descriptors
	f.Descriptors = nil
	return fds
}

// Close closes the descriptors that nobody has taken.
func (f *Frame) Close() { closeAll(f.Take()) }

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = syscall.Close(fd)
	}
}

// Duplicate returns a second descriptor for a socket, close-on-exec, which the
// caller owns.
func Duplicate(c syscall.Conn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("duplicate descriptor: %w", err)
	}
	second := -1
	var dupErr error
	if err := raw.Control(func(fd uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if second, dupErr = syscall.Dup(int(fd)); dupErr == nil { // #nosec G115 -- a descriptor
			syscall.CloseOnExec(second)
		}
	}); err != nil {
		return -1, fmt.Errorf("duplicate descriptor: %w", err)
	}
	return second, os.NewSyscallError("dup", dupErr)
}

// Conn is one end of the channel. One goroutine may send while another one
// receives.
type Conn struct{ unix *net.UnixConn }

// Pair makes a channel: this process's end, and the file that the other process
// is started with. The caller closes both.
func Pair() (*Conn, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	c, err := Open(fds[0])
	if err != nil {
		_ = syscall.Close(fds[1])
		return nil, nil, err
	}
	return c, os.NewFile(uintptr(fds[1]), "handoff"), nil // #nosec G115 -- a descriptor
}

// Open returns the end that this process was started with. It owns fd, which is
// closed on error too.
func Open(fd int) (*Conn, error) {
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), "handoff") // #nosec G115 -- a descriptor
	if f == nil {
		return nil, fmt.Errorf("open channel on descriptor %d: %w", fd, syscall.EBADF)
	}
	defer f.Close()
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open channel on descriptor %d: %w", fd, err)
	}
	unix, ok := nc.(*net.UnixConn)
	if !ok {
		_ = nc.Close()
		return nil, fmt.Errorf("open channel on descriptor %d: it is a %s connection, not a Unix socket", fd, nc.LocalAddr().Network())
	}
	return &Conn{unix}, nil
}

// SetDeadline is when Send and Receive fail; the zero time: never.
func (c *Conn) SetDeadline(t time.Time) { _ = c.unix.SetDeadline(t) }

// StopReceiving has Receive fail, one that waits too; a frame is received or not.
// Send goes on. It may be called at any time.
func (c *Conn) StopReceiving() { _ = c.unix.SetReadDeadline(time.Unix(1, 0)) }

// Close ends the channel: the other side reads io.EOF behind what was sent. It
// may be called at any time.
func (c *Conn) Close() { _ = c.unix.Close() }

// Send sends a frame whose body is body as JSON. The descriptors remain the
// caller's. After an error the channel cannot be used any more.
func (c *Conn) Send(kind byte, body any, descriptors ...int) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("send frame of kind %d: %w", kind, err)
	}
	if len(data) > MaxBody || len(descriptors) > MaxDescriptors {
		return fmt.Errorf("send frame of kind %d: %d bytes with %d descriptors, %d and %d at most",
			kind, len(data), len(descriptors), MaxBody, MaxDescriptors)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, headSize+len(data)), uint32(len(data))) // #nosec G115 -- at most MaxBody
	b = append(b, kind, byte(len(descriptors)))                                                // #nosec G115 -- at most MaxDescriptors
	b = append(b, data...)
	var rights []byte
	if len(descriptors) > 0 {
		rights = syscall.UnixRights(descriptors...)
	}
	n, _, err := c.unix.WriteMsgUnix(b, rights, nil)
	if err == nil && n < len(b) {
		_, err = c.unix.Write(b[n:]) // the descriptors are with the first bytes
	}
	if err != nil {
		return fmt.Errorf("send frame of kind %d: %w", kind, err)
	}
	return nil
}

// Receive waits for the next frame. It returns io.EOF when the other side has
// ended the channel between two frames. After an error other than
// [ErrDescriptors] the channel cannot be used any more. No error leaves a
// descriptor open.
func (c *Conn) Receive() (*Frame, error) {
	r := reader{unix: c.unix}
	f, err := r.frame()
	if err != nil {
		closeAll(r.descriptors)
		if errors.Is(err, io.EOF) || errors.Is(err, ErrDescriptors) {
			return nil, err
		}
		return nil, fmt.Errorf("receive frame: %w", err)
	}
	f.Descriptors = r.descriptors
	return f, nil
}

// reader takes one frame off a socket.
type reader struct {
	unix        *net.UnixConn
	descriptors []int
	cut         bool // the kernel dropped descriptors
}

func (r *reader) frame() (*Frame, error) {
	var head [headSize]byte
	if err := r.fill(head[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(head[:]))
	f := &Frame{Kind: head[4]}
	if size > MaxBody {
		return nil, fmt.Errorf("a body of %d bytes is announced, %d at most", size, MaxBody)
	}
	var body bytes.Buffer
	for left := size; ; left = size - body.Len() {
		if len(r.descriptors) > int(head[5]) {
			return nil, fmt.Errorf("%d descriptors came, %d were announced", len(r.descriptors), head[5])
		}
		if left == 0 {
			break
		}
		body.Grow(min(left, max(growth, body.Len())))
		part := body.AvailableBuffer()
		part = part[:min(left, cap(part))]
		if err := r.fill(part); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		_, _ = body.Write(part)
	}
	f.Body = body.Bytes()
	if r.cut || len(r.descriptors) < int(head[5]) {
		return nil, fmt.Errorf("%d of %d: %w", len(r.descriptors), head[5], ErrDescriptors)
	}
	return f, nil
}

// fill reads all of b, and the descriptors that come with it.
func (r *reader) fill(b []byte) error {
	var oob [4 * (MaxDescriptors + 16)]byte // with room for the header, and for others than ours
	for done := 0; done < len(b); {
		n, oobn, flags, _, err := r.unix.ReadMsgUnix(b[done:], oob[:])
		r.take(oob[:oobn])
		r.cut = r.cut || flags&syscall.MSG_CTRUNC != 0
		if errors.Is(err, syscall.ECONNRESET) {
			n, err = 0, nil // it has ended, and had not read all that it was sent
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case n == 0 && done == 0:
			return io.EOF
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		done += n
	}
	return nil
}

// take keeps the descriptors of control messages. What else there is, such as
// messages that cannot be read, is none of ours.
func (r *reader) take(oob []byte) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		r.cut = true
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		r.descriptors = append(r.descriptors, fds...)
	}
}
