package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	// maxCredentials bounds name and password together, in bytes. bcrypt itself
	// looks at 72 bytes of a password.
	maxCredentials = 512
	// maxWait bounds how long a client waits for a processor that may verify.
	maxWait = 5 * time.Second
)

// verifying has a place for each password that may be verified at a time: on
// half of the processors at most, so that guessing passwords slows nobody
// down who comes without.
var verifying = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// Basic judges names and passwords (RFC 7617) by a users file. Its methods may
// be called from any goroutine.
type Basic struct {
	users      map[string][]byte
	order      [][]byte // all hashes
	challenge  string
	remembered remembered
}

// LoadBasic reads a users file. realm must be printable ASCII without quotes.
// The error begins with file and line.
func LoadBasic(realm, file string) (*Basic, error) {
	users, err := readUsers(file)
	if err != nil {
		return nil, err
	}
	b := &Basic{
		users:     make(map[string][]byte, len(users)),
		challenge: fmt.Sprintf(`Basic realm="%s", charset="UTF-8"`, realm),
	}
	for _, u := range users {
		b.users[string(u.name)] = u.hash
		b.order = append(b.order, u.hash)
	}
	b.remembered.init()
	return b, nil
}

// Challenge is the value of WWW-Authenticate for those who are refused.
func (b *Basic) Challenge() string { return b.challenge }

// Check judges the value of an Authorization field, empty if there is none.
// It computes bcrypt, which takes tens of milliseconds, unless the same was
// right within the last minutes; then it allocates nothing.
func (b *Basic) Check(authorization []byte) Verdict {
	encoded, ok := cutScheme(authorization, "basic")
	if !ok {
		return Missing
	}
	var buf [maxCredentials]byte
	if base64.StdEncoding.DecodedLen(len(encoded)) > len(buf) {
		return Wrong
	}
	n, err := base64.StdEncoding.Decode(buf[:], encoded)
	if err != nil {
		return Wrong
	}
	name, password, ok := bytes.Cut(buf[:n], []byte(":"))
	if !ok {
		return Wrong
	}
	sum := b.remembered.sum(buf[:n])
	if b.remembered.has(&sum, time.Now()) {
		return Pass
	}
	return b.verify(string(name), bytes.Clone(password), &sum)
}

// User is the name in the value of an Authorization field that Check has
// passed; empty if there is none.
func User(authorization []byte) string {
	encoded, ok := cutScheme(authorization, "basic")
	if !ok {
		return ""
	}
	decoded, err := base64.StdEncoding.AppendDecode(nil, encoded)
	if err != nil {
		return ""
	}
	name, _, _ := bytes.Cut(decoded, []byte(":"))
	return string(name)
}

// verify computes bcrypt, for a name that nobody has too: with the hash of
// some user that always is the same one for that name, so that neither the
// time nor its changes tell which names there are.
func (b *Basic) verify(name string, password []byte, sum *[sha256.Size]byte) Verdict {
	hash, known := b.users[name]
	if !known {
		other := b.remembered.sum([]byte(name))
		hash = b.order[binary.LittleEndian.Uint64(other[:8])%uint64(len(b.order))]
	}
	select {
	case verifying <- struct{}{}:
	default:
		wait := time.NewTimer(maxWait)
		defer wait.Stop()
		select {
		case verifying <- struct{}{}:
		case <-wait.C:
			return Busy
		}
	}
	defer func() { <-verifying }()
	// A browser opens several connections at once: while this one waited,
	// another may have done the work.
	if b.remembered.has(sum, time.Now()) {
		return Pass
	}
	if bcrypt.CompareHashAndPassword(hash, password) != nil || !known {
		return Wrong
	}
	b.remembered.add(sum, time.Now())
	return Pass
}

// cutScheme returns what follows the scheme in an Authorization value; false
// if it has another scheme or none.
func cutScheme(authorization []byte, scheme string) ([]byte, bool) {
	if len(authorization) <= len(scheme) || authorization[len(scheme)] != ' ' ||
		!bytes.EqualFold(authorization[:len(scheme)], []byte(scheme)) {
		return nil, false
	}
	return bytes.TrimSpace(authorization[len(scheme):]), true
}
