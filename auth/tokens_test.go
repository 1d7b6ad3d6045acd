package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const secret = "0123456789abcdef0123456789abcdef"

// sign makes a token; an empty kid is none.
func sign(t testing.TB, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) []byte {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}

func claims(changes ...any) jwt.MapClaims {
	c := jwt.MapClaims{"aud": "game", "sub": "ada", "exp": time.Now().Add(time.Hour).Unix()}
	for i := 0; i < len(changes); i += 2 {
		if c[changes[i].(string)] = changes[i+1]; changes[i+1] == nil {
			delete(c, changes[i].(string))
		}
	}
	return c
}

func ago(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

func TestTokensBySecret(t *testing.T) {
	tokens, err := LoadTokens(writeFile(t, secret+"\n"), "game")
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, token []byte, want Verdict) {
		t.Helper()
		if got := tokens.Check(token); got != want {
			t.Errorf("%s: verdict %d, want %d", what, got, want)
		}
	}
	hs := func(changes ...any) []byte {
		return sign(t, jwt.SigningMethodHS256, []byte(secret), "", claims(changes...))
	}
	f("valid", hs(), Pass)
	f("HS512", sign(t, jwt.SigningMethodHS512, []byte(secret), "", claims()), Pass)
	f("one of several audiences", hs("aud", []string{"chat", "game"}), Pass)
	f("expired within the tolerance", hs("exp", ago(10*time.Second)), Pass)
	f("expired", hs("exp", ago(time.Minute)), Expired)
	f("without exp", hs("exp", nil), Wrong)
	f("exp is no number", hs("exp", "never"), Wrong)
	f("not yet valid", hs("nbf", ago(-time.Minute)), Wrong)
	f("another audience", hs("aud", "chat"), Audience)
	f("no audience", hs("aud", nil), Wrong)
	f("another secret", sign(t, jwt.SigningMethodHS256, []byte("x"+secret[1:]), "", claims()), Wrong)
	f("expired, of another secret", sign(t, jwt.SigningMethodHS256, []byte("x"), "", claims("exp", 1)), Wrong)
	f("none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", claims()), Wrong)
	f("no token", nil, Missing)
	f("no token at all", []byte("hello"), Wrong)
	f("two dots", []byte(".."), Wrong)
	valid := hs()
	f("cut", valid[:len(valid)-1], Wrong)
	f("without a signature", valid[:strings.LastIndexByte(string(valid), '.')+1], Wrong)
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	f("asymmetric", sign(t, jwt.SigningMethodEdDSA, private, "", claims()), Wrong)

	if v := tokens.CheckBearer(append([]byte("bearer  "), valid...)); v != Pass {
		t.Errorf("bearer: verdict %d", v)
	}
	if v := tokens.CheckBearer(credentials("ada:x")); v != Missing {
		t.Errorf("basic: verdict %d", v)
	}
	anybody, err := LoadTokens(writeFile(t, secret), "")
	if err != nil || anybody.Check(hs("aud", "chat")) != Pass || anybody.Check(hs("aud", nil)) != Pass {
		t.Errorf("without an audience to look for some are refused, %v", err)
	}
}

func TestSecretFileMistakes(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		file := writeFile(t, text)
		_, err := LoadTokens(file, "")
		if err == nil || !strings.HasPrefix(err.Error(), file+": "+want) {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	f("", "the secret has 0 bytes, use 32 or more")
	f(secret[1:]+"\n", "the secret has 31 bytes, use 32 or more")
	f("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n", "holds a key in PEM and not a secret")
}

// jwk is a key of a set, as a login server publishes it.
func jwk(t testing.TB, kid string, public any) map[string]string {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	k := map[string]string{"use": "sig"}
	switch p := public.(type) {
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", b64(p)
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, err := p.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		k["kty"], k["crv"], k["x"], k["y"] = "EC", "P-256", b64(raw[1:33]), b64(raw[33:])
	}
	if kid != "" {
		k["kid"] = kid
	}
	return k
}

func jwks(t testing.TB, keys ...map[string]string) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// login is a server of keys.
type login struct {
	set     atomic.Pointer[[]byte] // nil: down
	fetched atomic.Int64
}

func (l *login) publish(raw []byte) { l.set.Store(&raw) }

func (l *login) fetch(context.Context) ([]byte, error) {
	l.fetched.Add(1)
	if raw := l.set.Load(); raw != nil {
		return *raw, nil
	}
	return nil, errors.New("down")
}

func TestTokensByKeys(t *testing.T) {
	edPublic, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	oct := map[string]string{"kty": "oct", "kid": "shared", "k": base64.RawURLEncoding.EncodeToString([]byte(secret))}
	encryption := jwk(t, "enc", &rsaKey.PublicKey)
	encryption["use"] = "enc"
	rs256 := jwk(t, "rs256", &rsaKey.PublicKey)
	rs256["alg"] = "RS256"
	var l login
	l.publish(jwks(t, jwk(t, "ed", edPublic), jwk(t, "rsa", &rsaKey.PublicKey), jwk(t, "ec", &ecKey.PublicKey), rs256,
		oct, encryption, map[string]string{"kty": "later", "kid": "unknown kind"}))
	keys := newKeys(l.fetch, slog.New(slog.DiscardHandler))
	defer keys.Close()
	tokens := NewTokens(keys, "game")

	f := func(what string, token []byte, want Verdict) {
		t.Helper()
		if got := tokens.Check(token); got != want {
			t.Errorf("%s: verdict %d, want %d", what, got, want)
		}
	}
	f("EdDSA", sign(t, jwt.SigningMethodEdDSA, edPrivate, "ed", claims()), Pass)
	f("RS256", sign(t, jwt.SigningMethodRS256, rsaKey, "rsa", claims()), Pass)
	f("PS512", sign(t, jwt.SigningMethodPS512, rsaKey, "rsa", claims()), Pass)
	f("ES256", sign(t, jwt.SigningMethodES256, ecKey, "ec", claims()), Pass)
	f("without kid", sign(t, jwt.SigningMethodES256, ecKey, "", claims()), Pass)
	f("expired", sign(t, jwt.SigningMethodEdDSA, edPrivate, "ed", claims("exp", ago(time.Minute))), Expired)
	f("another audience", sign(t, jwt.SigningMethodEdDSA, edPrivate, "ed", claims("aud", "chat")), Audience)
	f("none", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "ed", claims()), Wrong)
	f("kid of another key", sign(t, jwt.SigningMethodEdDSA, edPrivate, "rsa", claims()), Wrong)
	f("another algorithm than the key's", sign(t, jwt.SigningMethodPS256, rsaKey, "rs256", claims()), Wrong)
	f("a key for encryption", sign(t, jwt.SigningMethodRS256, rsaKey, "enc", claims()), Wrong)
	f("a published secret", sign(t, jwt.SigningMethodHS256, []byte(secret), "shared", claims()), Wrong)
	f("an unknown kid", sign(t, jwt.SigningMethodRS256, rsaKey, "other", claims()), Wrong)

	// Algorithm confusion: the public key, which everybody has, as a secret.
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, public := range [][]byte{der, inPEM, edPublic} {
		f("a public key as a secret", sign(t, jwt.SigningMethodHS256, public, "rsa", claims()), Wrong)
		f("a public key as a secret, without kid", sign(t, jwt.SigningMethodHS256, public, "", claims()), Wrong)
	}
}

// A key that is exchanged is found when the first token names it, and those of
// before stop to work; a server that is down changes nothing.
func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		oldPublic, oldKey, _ := ed25519.GenerateKey(rand.Reader)
		newPublic, newKey, _ := ed25519.GenerateKey(rand.Reader)
		var l login
		l.publish(jwks(t, jwk(t, "old", oldPublic)))
		keys := newKeys(l.fetch, slog.New(slog.DiscardHandler))
		defer keys.Close()
		tokens := NewTokens(keys, "")
		f := func(what string, key ed25519.PrivateKey, kid string, want Verdict, fetches int64) {
			t.Helper()
			synctest.Wait() // for a fetch that is due at this very moment
			before := l.fetched.Load()
			if got := tokens.Check(sign(t, jwt.SigningMethodEdDSA, key, kid, claims())); got != want {
				t.Errorf("%s: verdict %d, want %d", what, got, want)
			}
			if got := l.fetched.Load() - before; got != fetches {
				t.Errorf("%s: fetched %d times, want %d", what, got, fetches)
			}
		}
		synctest.Wait()
		f("at the start", oldKey, "old", Pass, 0)
		l.publish(jwks(t, jwk(t, "new", newPublic)))
		f("exchanged, and fetched just now", newKey, "new", Wrong, 0)
		time.Sleep(keysAgain)
		f("the old one is not looked for", oldKey, "old", Pass, 0)
		f("the new one is", newKey, "new", Pass, 1)
		f("the old one is gone", oldKey, "old", Wrong, 0)
		time.Sleep(keysAgain)
		f("an invented one is looked for once", oldKey, "x", Wrong, 1)
		f("and not again at once", oldKey, "y", Wrong, 0)

		l.set.Store(nil)
		time.Sleep(3 * keysInterval)
		if l.fetched.Load() < 10 {
			t.Errorf("a server that is down was asked %d times", l.fetched.Load())
		}
		f("the server is down", newKey, "new", Pass, 0)
		l.publish([]byte("<html>login</html>"))
		time.Sleep(2 * keysAgain)
		f("the server sends something else", newKey, "new", Pass, 0)
		l.publish(jwks(t))
		time.Sleep(2 * keysAgain)
		f("the server sends no keys", newKey, "new", Pass, 0)
		l.publish(jwks(t, jwk(t, "old", oldPublic)))
		time.Sleep(2 * keysAgain)
		f("the server is back", oldKey, "old", Pass, 0)

		// Keys without names.
		l.publish(jwks(t, jwk(t, "", newPublic)))
		time.Sleep(keysAgain)
		f("a key without a name is looked for", newKey, "", Pass, 1)
	})
}

// Who comes before the first keys waits for them, for a while.
func TestKeysAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		public, key, _ := ed25519.GenerateKey(rand.Reader)
		open := make(chan struct{})
		keys := newKeys(func(ctx context.Context) ([]byte, error) {
			select {
			case <-open:
				return jwks(t, jwk(t, "k", public)), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}, slog.New(slog.DiscardHandler))
		defer keys.Close()
		tokens := NewTokens(keys, "")
		token := sign(t, jwt.SigningMethodEdDSA, key, "k", claims())

		start := time.Now()
		if v := tokens.Check(token); v != NoKeys || time.Since(start) != keysWait {
			t.Errorf("verdict %d after %s, want %d after %s", v, time.Since(start), NoKeys, keysWait)
		}
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() {
				if v := tokens.Check(token); v != Pass {
					t.Errorf("verdict %d, want %d", v, Pass)
				}
			})
		}
		time.Sleep(time.Second)
		close(open)
		waiting.Wait()
		if took := time.Since(start); took != keysWait+time.Second {
			t.Errorf("they waited until %s", took)
		}
	})
}

// Nothing is taken but what was signed.
func FuzzTokens(f *testing.F) {
	public, key, _ := ed25519.GenerateKey(rand.Reader)
	set, err := parseKeySet(jwks(f, jwk(f, "k", public)))
	if err != nil {
		f.Fatal(err)
	}
	keys := &Keys{tried: time.Now().Add(time.Hour)}
	keys.set.Store(set)
	tokens := NewTokens(keys, "game")
	valid := sign(f, jwt.SigningMethodEdDSA, key, "k", claims())
	f.Add(valid)
	f.Add([]byte("eyJhbGciOiJub25lIn0.e30."))
	f.Fuzz(func(t *testing.T, token []byte) {
		if tokens.Check(token) == Pass && string(token) != string(valid) {
			t.Errorf("%q is taken", token)
		}
	})
}
