package testkit

import (
	"bytes"
	"testing"
)

func FuzzReadFrame(f *testing.F) {
	f.Add(Text("Hello").Mask().Append(nil))
	f.Add(Binary(make([]byte, 300)).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		frame, err := ReadFrame(r)
		if err != nil {
			return
		}
		again, err := ReadFrame(bytes.NewReader(frame.Append(nil)))
		if err != nil || again.Opcode != frame.Opcode || !bytes.Equal(again.Payload, frame.Payload) {
			t.Fatalf("%+v came back as %+v, %v", frame, again, err)
		}
	})
}
