package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/crypto/bcrypt"
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
func readUsers(file string) ([]user, error) {
	data, err := readFile(file, maxUsersFile)
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
			return nil, fmt.Errorf("%s:%d: %s", file, number, fmt.Sprintf(format, args...))
		}
		name, hash, ok := bytes.Cut(line, []byte(":"))
		if !ok || len(name) == 0 {
			return fail("is not NAME:HASH, write it with htpasswd -B")
		}
		if first := lines[string(name)]; first != 0 {
			return fail("user %q is on line %d already, keep one", name, first)
		}
		if !bytes.HasPrefix(hash, []byte("$2")) {
			return fail("the password of %q is not hashed with bcrypt, write it with htpasswd -B", name)
		}
		cost, err := bcrypt.Cost(hash)
		if err != nil || len(hash) != 60 {
			return fail("the bcrypt hash of %q is damaged, write it again with htpasswd -B", name)
		}
		if cost > maxCost {
			return fail("the password of %q has cost %d, which takes seconds each time, write it again with htpasswd -B -C 12", name, cost)
		}
		lines[string(name)] = number
		users = append(users, user{bytes.Clone(name), bytes.Clone(hash)})
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s: has no users, so nobody could come in, add one with htpasswd -B", file)
	}
	return users, nil
}

// readFile reads a file of at most limit bytes. The error begins with its
// path.
func readFile(file string, limit int) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is not a regular file", file)
	case info.Size() > int64(limit):
		return nil, fmt.Errorf("%s: has %d bytes, use %d at most", file, info.Size(), limit)
	default:
		var data []byte
		if data, err = os.ReadFile(file); err == nil {
			return data, nil
		}
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // the path is said already
	}
	return nil, fmt.Errorf("%s: cannot be read: %w", file, err)
}
