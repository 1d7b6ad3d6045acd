package explain

import "testing"

func TestLine(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := Line(text, 20); got != want {
			t.Errorf("Line(%q) = %q, want %q", text, got, want)
		}
	}
	f("", "")
	f(" a\r\n b\t", "a b")
	f("\x1b[2Jgone\x07", "?[2Jgone?")
	f("\u009b2J \u202egnp", "?2J ?gnp")
	f("bad \xff byte", "bad \ufffd byte")
	f("twenty bytes exactly", "twenty bytes exactly")
	f("nineteen bytes and é", "nineteen bytes and ...")
}
