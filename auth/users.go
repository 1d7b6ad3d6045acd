package auth

import (
	"bytes"
	"fmt"

	"golang.org/x/crypto/bcrypt"

	"github.com/holdfast-lb/holdfast/internal/file"
)

const (
	// maxCost bounds the time that one password may take: about a second at 14,
	// twice as long at each step.
	maxCost = 14
	// maxUsersFile bounds what is read of a users file, in bytes.
	maxUsersFile = 16 << 20
)

// user is a line of a users file.
type user struct{ name, hash []byte }

// readUsers reads NAME:HASH lines as `htpasswd -B` writes them, empty lines
// and comments aside. The error names file and line, and never a hash.
func readUsers(name string) ([]user, error) {
	data, err := readFile(name, maxUsersFile)
	if err != nil {
		return nil, err
	}
	var users []user
	lines := map[string]int{}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		fail := func(format string, args ...any) ([]user, error) {
			return nil, fmt.Errorf("%s:%d: %s", name, number, fmt.Sprintf(format, args...))
		}
		who, hash, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(who) == 0 {
			return fail("is not NAME:HASH, write it with htpasswd -B")
		}
		if first := lines[string(who)]; first != 0 {
			return fail("user %q is on line %d already, keep one", who, first)
		}
		if !bytes.HasPrefix(hash, []byte("$2")) {
			return fail("the password of %q is not hashed with bcrypt, write it with htpasswd -B", who)
		}
		cost, err := bcrypt.Cost(hash)
		if err != nil || len(hash) != 60 {
			return fail("the bcrypt hash of %q is damaged, write it again with htpasswd -B", who)
		}
		if cost > maxCost {
			return fail("the password of %q has cost %d, which takes seconds each time, write it again with htpasswd -B -C 12", who, cost)
		}
		lines[string(who)] = number
		users = append(users, user{bytes.Clone(who), bytes.Clone(hash)})
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s: has no users, so nobody could come in, add one with htpasswd -B", name)
	}
	return users, nil
}

// readFile reads a file of at most limit bytes. The error begins with its
// path.
func readFile(name string, limit int64) ([]byte, error) {
	data, err := file.Read(name, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}
