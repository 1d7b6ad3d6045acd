package auth

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// hashed is a line of a users file.
func hashed(t testing.TB, name, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	// Apache writes another letter for the same algorithm.
	return name + ":" + strings.Replace(string(hash), "$2a$", "$2y$", 1) + "\n"
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func loadBasic(t testing.TB, text string) *Basic {
	t.Helper()
	b, err := LoadBasic("ops", writeFile(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func credentials(s string) []byte {
	return []byte("Basic " + base64.StdEncoding.EncodeToString([]byte(s)))
}

func TestBasic(t *testing.T) {
	b := loadBasic(t, "# who may\n\n"+hashed(t, "ada", "correct:horse", bcrypt.MinCost)+"\r\n"+hashed(t, "bob", "", bcrypt.MinCost))
	f := func(authorization string, want Verdict) {
		t.Helper()
		for range 2 { // the second time by memory
			if got := b.Check([]byte(authorization)); got != want {
				t.Errorf("%q: verdict %d, want %d", authorization, got, want)
			}
		}
	}
	f("", Missing)
	f("Basic", Missing)
	f("Bearer x", Missing)
	f("Basicx", Missing)
	f(string(credentials("ada:correct:horse")), Pass)
	f(strings.Replace(string(credentials("ada:correct:horse")), "Basic ", "bASIC   ", 1), Pass)
	f(string(credentials("bob:")), Pass)
	f(string(credentials("ada:wrong")), Wrong)
	f(string(credentials("ada:")), Wrong)
	f(string(credentials("Ada:correct:horse")), Wrong)
	f(string(credentials("eve:correct:horse")), Wrong)
	f(string(credentials("ada")), Wrong)
	f(string(credentials("")), Wrong)
	f("Basic ???", Wrong)
	f(string(credentials("ada:"+strings.Repeat("x", 10000))), Wrong)
	if b.Challenge() != `Basic realm="ops", charset="UTF-8"` {
		t.Errorf("challenge %s", b.Challenge())
	}
}

func TestUsersFileMistakes(t *testing.T) {
	good := hashed(t, "ada", "x", bcrypt.MinCost)
	f := func(text, want string) {
		t.Helper()
		file := writeFile(t, text)
		_, err := LoadBasic("ops", file)
		if err == nil || !strings.HasPrefix(err.Error(), file+want) {
			t.Errorf("%q: %v, want %s%s", text, err, file, want)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: the error shows a secret: %v", text, err)
		}
	}
	f("", ": has no users")
	f("# nobody\n", ": has no users")
	f(good+"ada\n", ":2: is not NAME:HASH")
	f(good+":geheim\n", ":2: is not NAME:HASH")
	f(good+"\n"+good, `:3: user "ada" is on line 1 already`)
	f("bob:geheim\n", `:1: the password of "bob" is not hashed with bcrypt`)
	f("bob:$apr1$geheim$geheim\n", `:1: the password of "bob" is not hashed with bcrypt`)
	f("bob:$2y$05$geheim\n", `:1: the bcrypt hash of "bob" is damaged`)
	f(strings.Replace(good, "$04$", "$31$", 1), `:1: the password of "ada" has cost 31`)

	missing := filepath.Join(t.TempDir(), "gone")
	if _, err := LoadBasic("ops", missing); err == nil || err.Error() != missing+": cannot be read: no such file or directory" {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := LoadBasic("ops", t.TempDir()); err == nil || !strings.HasSuffix(err.Error(), "is not a regular file, name one that is") {
		t.Errorf("a directory: %v", err)
	}
}

// An unknown name costs as much as a wrong password: nobody learns names by
// measuring.
func TestUnknownNamesTakeAsLong(t *testing.T) {
	b := loadBasic(t, hashed(t, "ada", "right", 8))
	took := func(c []byte) time.Duration {
		start := time.Now()
		if b.Check(c) != Wrong {
			t.Fatalf("%s is taken", c)
		}
		return time.Since(start)
	}
	// The least of many is what each takes on a machine that has nothing else
	// to do, however busy this one is.
	wrong, unknown := time.Hour, time.Hour
	for range 100 {
		wrong = min(wrong, took(credentials("ada:wrong")))
		unknown = min(unknown, took(credentials("eve:wrong")))
		if unknown > wrong/2 && wrong > unknown/2 {
			return
		}
	}
	t.Errorf("a wrong password takes %s, an unknown name %s", wrong, unknown)
}

// A password that was right costs no bcrypt the next time, and no memory.
func TestRightPasswordIsRemembered(t *testing.T) {
	b := loadBasic(t, hashed(t, "ada", "right", 10))
	c := credentials("ada:right")
	if b.Check(c) != Pass {
		t.Fatal("refused")
	}
	start := time.Now()
	n := testing.AllocsPerRun(100, func() {
		if b.Check(c) != Pass {
			t.Fatal("refused")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
	// One bcrypt of cost 10 takes tens of milliseconds.
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("101 checks took %s", took)
	}
}

func TestRememberedIsForgotten(t *testing.T) {
	var r remembered
	r.init()
	now := time.Now()
	sum := r.sum([]byte("ada:right"))
	r.add(&sum, now)
	if !r.has(&sum, now.Add(rememberFor-1)) || r.has(&sum, now.Add(rememberFor)) {
		t.Error("not remembered for five minutes")
	}
	if other := r.sum([]byte("ada:wrong")); r.has(&other, now) {
		t.Error("another password is remembered too")
	}
	// Five that belong into one set of four: the first goes.
	var sums [rememberWays + 1][32]byte
	for i := range sums {
		sums[i][0], sums[i][31] = 7, byte(i)
		r.add(&sums[i], now.Add(time.Duration(i)))
	}
	for i := range sums {
		if got, want := r.has(&sums[i], now.Add(time.Second)), i > 0; got != want {
			t.Errorf("the %dth is remembered: %t, want %t", i, got, want)
		}
	}
	var other remembered
	other.init()
	if other.sum([]byte("ada:right")) == sum {
		t.Error("two tables hash alike, so there is no key")
	}
}

func BenchmarkBasicRemembered(b *testing.B) {
	basic := loadBasic(b, hashed(b, "ada", "right", bcrypt.MinCost))
	c := credentials("ada:right")
	b.ReportAllocs()
	for b.Loop() {
		if basic.Check(c) != Pass {
			b.Fatal("refused")
		}
	}
}
