package certs

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-lb/holdfast/config"
)

// source is what is read from files together, and again when they change. Once
// its Change is committed it is guarded by the Store's mutex.
type source struct {
	key   string   // of the configuration
	files []string // a certificate's and its key's, or that of authorities

	cert    *certificate // nil: the files are of authorities
	clients *authorities

	inForce stamp // of the files when they were read
	seen    stamp // at the last look, if they were others then
	refused stamp // of files in which something was wrong

	warned   validity  // what was last said of the certificate,
	warnedAt time.Time // and when
}

// stamp changes when a file does.
type stamp string

func stampOf(files []string) stamp {
	var b strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&b, "%d %d|", info.Size(), info.ModTime().UnixNano())
		} else {
			b.WriteString("gone|")
		}
	}
	return stamp(b.String())
}

// pairSource is a source that is not read yet. key is that of the pair.
func pairSource(key string, p config.KeyPair) *source {
	return &source{key: key, files: []string{p.Cert, p.Key}}
}

// clientSource is the same for a file of authorities.
func clientSource(key, file string) *source {
	return &source{key: key, files: []string{file}}
}

// read reads the files. After an error the source is as it was.
func (s *source) read() error {
	now := stampOf(s.files) // before they are read: what changes meanwhile is seen later
	if len(s.files) == 1 {
		clients, err := loadAuthorities(s.key, s.files[0])
		if err != nil {
			return err
		}
		s.clients = clients
	} else {
		cert, err := loadPair(s.key, config.KeyPair{Cert: s.files[0], Key: s.files[1]})
		if err != nil {
			return err
		}
		s.cert = cert
	}
	s.inForce, s.seen, s.refused = now, "", ""
	return nil
}

// changed tells whether the files are to be read again: they are others than
// when they were read, and the same as at the last look, so that nobody is
// writing them.
func (s *source) changed() bool {
	now := stampOf(s.files)
	settled := now == s.seen
	s.seen = now
	return settled && now != s.inForce && now != s.refused
}
