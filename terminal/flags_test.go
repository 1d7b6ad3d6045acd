package terminal

import (
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/admin"
)

// What is wrong with a flag is told before anything is asked or waited for.
func TestFlagsAreJudged(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		f := &fake{pools: [][]admin.Pool{{pool("arena", backend("a-1", 1))}}}
		if _, _, err := f.run(t, args...); errText(err) != want {
			t.Errorf("%q: %q, want %q", args, errText(err), want)
		}
		for _, asked := range f.requests() {
			if !strings.HasPrefix(asked, "GET /api/v1/pools") {
				t.Errorf("%q: %s was asked for", args, asked)
			}
		}
	}
	f("--after -3s is negative, write 0 or more", "drain", "arena", "--after", "-3s")
	f("--deadline -3s is no time to wait, write more than 0, such as 30s or 5m", "drain", "arena", "--deadline", "-3s", "--after", "1h")
	f("--deadline 0s is no time to wait, write more than 0, such as 30s or 5m", "drain", "arena", "--deadline", "0")
	f(`--deadline "banana" is no time, write one with a unit, such as 30s or 5m`, "drain", "arena", "--deadline", "banana")
	f(`--deadline "30" is no time, write one with a unit, such as 30s or 5m`, "drain", "arena", "--deadline", "30")
	f("there is no flag --dedline, did you mean --deadline?", "drain", "arena", "--dedline", "3s")
	f("there is no flag --pace, holdfast drain --help lists those that there are", "drain", "arena", "--pace", "3")
	f("there is no flag -x, holdfast drain --help lists those that there are", "drain", "arena", "-x")
	f("--limit -5 is negative, write 0 or more", "sockets", "--limit", "-5")
	f(`--limit "many" is no whole number, write one such as 100`, "sockets", "--limit", "many")
	f(`--limit "99999999999999999999" is out of range, write a smaller number`, "sockets", "--limit", "99999999999999999999")
	f(`--json "maybe" is neither true nor false`, "status", "--json=maybe")
	f(`"arena" is one argument too many, write holdfast status [flags]`, "status", "arena")
	f("--max-moved -2 is negative, write 0 or more", "plan", "--config", "flags.go", "--max-moved", "-2")
	f("--config is missing, write the file that a reload would read: holdfast plan --config NEW", "plan")
	f("--count -1 is negative, write 0 or more\n--timeout 0s is no time to wait, write more than 0, such as 30s or 5m",
		"test-socket", "ws://127.0.0.1:1/", "--count", "-1", "--timeout", "0")
	f("--interval 50ms is too short, write 100ms or more", "top", "--interval", "50ms")
	if err := FlagError(newClose(), newClose().ParseFlags([]string{"--code"})); errText(err) != "--code has no value, write --code CODE" {
		t.Errorf("a flag without a value: %v", err)
	}
}

func TestOneArgument(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		if _, _, err := new(fake).run(t, args...); errText(err) != want {
			t.Errorf("%q: %q, want %q", args, errText(err), want)
		}
	}
	f("0 arguments in place of one, write holdfast drain POOL/BACKEND | POOL [flags]", "drain")
	f("2 arguments in place of one, write holdfast undrain POOL/BACKEND | POOL [flags]", "undrain", "arena", "arena-1")
	f("0 arguments in place of one, write holdfast close ID [flags]", "close")
	f("0 arguments in place of one, write holdfast test-socket URL [flags]", "test-socket")
}
