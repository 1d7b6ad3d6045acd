package auth

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// leeway is how far the clocks of who made a token and ours may differ.
	leeway = 30 * time.Second
	// minSecret is what HS256 asks for (RFC 7518, section 3.2), in bytes.
	minSecret     = 32
	maxSecretFile = 64 << 10
)

// Which algorithms are taken depends on what kind of key there is, never on
// what the token says: a public key must not be taken for a secret (RFC 8725,
// section 2.1).
var (
	symmetric  = []string{"HS256", "HS384", "HS512"}
	asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// Tokens judges signed tokens (RFC 7519). Its methods may be called from any
// goroutine.
type Tokens struct {
	parser *jwt.Parser
	secret []byte
	keys   *Keys // nil: secret
}

// LoadTokens returns a judge of tokens that were signed with the secret in a
// file; the line end behind it does not count. audience is what a token must
// name; empty: anything.
func LoadTokens(secretFile, audience string) (*Tokens, error) {
	data, err := readFile(secretFile, maxSecretFile)
	if err != nil {
		return nil, err
	}
	secret := bytes.TrimRight(data, "\r\n")
	switch {
	case bytes.HasPrefix(secret, []byte("-----BEGIN ")):
		return nil, fmt.Errorf("%s: holds a key in PEM and not a secret, publish it as a key set and write jwks_url", secretFile)
	case len(secret) < minSecret:
		return nil, fmt.Errorf("%s: the secret has %d bytes, use %d or more, such as those of openssl rand -hex 32", secretFile, len(secret), minSecret)
	}
	return &Tokens{parser: newParser(symmetric, audience), secret: secret}, nil
}

// NewTokens returns a judge of tokens that were signed with one of keys.
func NewTokens(keys *Keys, audience string) *Tokens {
	return &Tokens{parser: newParser(asymmetric, audience), keys: keys}
}

func newParser(methods []string, audience string) *jwt.Parser {
	options := []jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding(),
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	return jwt.NewParser(options...)
}

// CheckBearer judges the value of an Authorization field (RFC 6750, section
// 2.1), empty if there is none.
func (t *Tokens) CheckBearer(authorization []byte) Verdict {
	token, ok := cutScheme(authorization, "bearer")
	if !ok {
		return Missing
	}
	return t.Check(token)
}

// Check judges a token. One that names an unknown key may wait for two seconds
// until the keys have been fetched again.
func (t *Tokens) Check(token []byte) Verdict {
	if len(token) == 0 {
		return Missing
	}
	text := string(token)
	if t.keys == nil {
		return verdictOf(t.parse(text, func(*jwt.Token) (any, error) { return t.secret, nil }))
	}
	set := t.keys.current()
	if set == nil {
		if set = t.keys.refresh(nil); set == nil {
			return NoKeys
		}
	}
	err := t.parse(text, set.find)
	if errors.Is(err, errKeyUnknown) {
		if newer := t.keys.refresh(set); newer != nil && newer != set {
			err = t.parse(text, newer.find)
		}
	}
	return verdictOf(err)
}

func (t *Tokens) parse(token string, find jwt.Keyfunc) error {
	parsed, err := t.parser.ParseWithClaims(token, &jwt.RegisteredClaims{}, find)
	if err == nil {
		return nil
	}
	switch {
	case errors.Is(err, jwkset.ErrKeyNotFound):
		return errKeyUnknown
	case errors.Is(err, jwt.ErrTokenSignatureInvalid) && parsed != nil && parsed.Header["kid"] == nil:
		return errKeyUnknown // of a key without a name nobody can say that it is known
	}
	return err
}

var errKeyUnknown = errors.New("token was signed by an unknown key")

func verdictOf(err error) Verdict {
	switch {
	case err == nil:
		return Pass
	// What a token says counts for nothing before its signature does; the
	// parser looks in that order.
	case errors.Is(err, jwt.ErrTokenExpired):
		return Expired
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return Audience
	}
	return Wrong
}
