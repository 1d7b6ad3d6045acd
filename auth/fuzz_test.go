package auth

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"
)

// FuzzBasic: nobody comes in but with the one name and password, and who comes
// in is called by that name.
func FuzzBasic(f *testing.F) {
	const right = "ada:correct:horse"
	b := loadBasic(f, hashed(f, "ada", "correct:horse", bcrypt.MinCost))
	for _, s := range []string{right, "ada:", ":", "ada", "eve:correct:horse", right + "\n"} {
		f.Add(credentials(s))
	}
	f.Add([]byte("basic  " + strings.TrimPrefix(string(credentials(right)), "Basic ") + " "))
	f.Add([]byte("Basic YWRh\r\nOmNvcnJlY3Q6aG9yc2U="))
	f.Add([]byte("Bearer x"))
	f.Fuzz(func(t *testing.T, authorization []byte) {
		sent := bytes.Clone(authorization)
		passed, name := b.Check(authorization) == Pass, User(authorization)
		if !bytes.Equal(sent, authorization) {
			t.Errorf("%q has become %q", sent, authorization)
		}
		_, encoded, _ := bytes.Cut(authorization, []byte(" "))
		isRight := string(bytes.Trim(bytes.Map(func(r rune) rune {
			if r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, encoded), " \t\v\f\u0085\u00a0")) == strings.TrimPrefix(string(credentials(right)), "Basic ")
		if passed && (name != "ada" || !isRight) {
			t.Errorf("%q comes in as %q", authorization, name)
		}
	})
}

// FuzzUsers: a users file yields users with hashes that bcrypt takes, or one
// line that names the file and shows no hash.
func FuzzUsers(f *testing.F) {
	good := hashed(f, "ada", "x", bcrypt.MinCost)
	for _, s := range []string{"", good, "# a\n\r\n" + good + "bob:x\n", good + good, strings.Replace(good, "$04$", "$31$", 1), "a:$2y$05$short", ":" + good} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := writeFile(t, text)
		users, err := readUsers(file)
		if err != nil {
			if users != nil || !strings.HasPrefix(err.Error(), file+":") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "$2y$") && !strings.Contains(text, "$2y$") {
				t.Errorf("%q: %v, with %d users", text, err, len(users))
			}
			return
		}
		names := map[string]bool{}
		for _, u := range users {
			if cost, err := bcrypt.Cost(u.hash); err != nil || cost > maxCost || len(u.name) == 0 || names[string(u.name)] {
				t.Errorf("%q: user %q with %q", text, u.name, u.hash)
			}
			names[string(u.name)] = true
		}
		if len(users) == 0 {
			t.Errorf("%q: no users and no error", text)
		}
	})
}

// FuzzKeySet: a published set yields keys that verify signatures, or an error;
// and no set has a token taken that none of its keys has signed.
func FuzzKeySet(f *testing.F) {
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	f.Add(jwks(f, jwk(f, "k", public)))
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","use":"sig"},{"kty":"oct","k":"c2VjcmV0"},{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`))
	f.Add([]byte(`{"keys":null}`))
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	token := sign(f, jwt.SigningMethodEdDSA, stranger, "k", claims())
	named := sign(f, jwt.SigningMethodEdDSA, key, "k", claims())
	f.Fuzz(func(t *testing.T, raw []byte) {
		set, err := parseKeySet(raw)
		if (err == nil) != (set != nil && set.size > 0) {
			t.Fatalf("%q: %v, %v", raw, set, err)
		}
		if err != nil {
			return
		}
		if again, err := parseKeySet(raw); err != nil || !again.equal(set) || again.size != set.size {
			t.Errorf("%q is read otherwise the second time: %v", raw, err)
		}
		keys := &Keys{tried: time.Now().Add(time.Hour)}
		keys.set.Store(set)
		tokens := NewTokens(keys, "game")
		if tokens.Check(token) == Pass {
			t.Errorf("%q: a stranger's token is taken", raw)
		}
		tokens.Check(named) // whatever comes of it
	})
}
