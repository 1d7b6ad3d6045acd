package testkit

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
)

func TestFrameRoundTrip(t *testing.T) {
	f := func(frame Frame, wantHead []byte) {
		t.Helper()
		b := frame.Append(nil)
		if !bytes.HasPrefix(b, wantHead) {
			t.Fatalf("bytes start %x, want %x", b[:min(len(b), 14)], wantHead)
		}
		r := bytes.NewReader(b)
		got, err := ReadFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, frame) {
			t.Fatalf("got %+v, want %+v", got, frame)
		}
		if _, err := ReadFrame(r); err != io.EOF {
			t.Fatalf("after the frame: %v, want EOF", err)
		}
		for n := 1; n < min(len(b), 20); n++ {
			if _, err := ReadFrame(bytes.NewReader(b[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%d of %d bytes: %v, want unexpected EOF", n, len(b), err)
			}
		}
	}
	// The examples of RFC 6455 section 5.7.
	f(Text("Hello"), []byte{0x81, 0x05, 'H', 'e', 'l', 'l', 'o'})
	f(Text("Hello").Mask(), []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58})
	f(Frame{Opcode: OpText, Payload: []byte("Hel")}, []byte{0x01, 0x03, 'H', 'e', 'l'})
	f(Control(OpPing, "Hello"), []byte{0x89, 0x05})
	f(Binary(make([]byte, 256)), []byte{0x82, 0x7e, 0x01, 0x00})
	f(Binary(make([]byte, 65536)).Mask(), []byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0x37})

	f(Binary(make([]byte, 125)), []byte{0x82, 125})
	f(Binary(make([]byte, 126)), []byte{0x82, 126, 0, 126})
	f(Binary(make([]byte, 65535)), []byte{0x82, 126, 0xff, 0xff})
	f(Binary([]byte{}), []byte{0x82, 0})
	f(Close(1012, "x"), []byte{0x88, 3, 0x03, 0xf4, 'x'})
	f(Frame{RSV: 7, Opcode: 15, Payload: []byte{}}, []byte{0x7f, 0})
}

func TestReadFrameBoundsPayload(t *testing.T) {
	if _, err := ReadFrame(bytes.NewReader([]byte{0x82, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0})); err == nil {
		t.Fatal("a payload of 2^62 bytes was accepted")
	}
}
