package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// A configuration comes from a file, a link to one, or at the start from a pipe.
// What has no end is refused, and a reload waits for no pipe.
func TestWhatAConfigurationIsReadFrom(t *testing.T) {
	t.Parallel()
	echo := testkit.StartBackend(t, testkit.Echo())
	p := start(t, setup{rest: siteOf([]string{echo.Addr})})
	text := p.text(siteOf([]string{echo.Addr}))
	f := func(status int, want, file string) {
		t.Helper()
		got, out, errs := command(t, "check", "--config", file)
		if got != status {
			t.Errorf("%s: status %d, want %d", file, got, status)
		}
		expectAll(t, file, out+errs, want)
	}
	dir := t.TempDir()
	link, endless, pipe := filepath.Join(dir, "link.yaml"), filepath.Join(dir, "zero.yaml"), filepath.Join(dir, "pipe.yaml")
	for from, to := range map[string]string{link: p.file, endless: "/dev/zero"} {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	f(0, "configuration OK: 1 listener, 1 route, 1 pool, 1 backend\n", link)
	f(1, endless+": has more than 4194304 bytes, use that many at most\n", endless)
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte(text), 0o600) }()
	f(0, "configuration OK: ", pipe)
	if err := <-written; err != nil {
		t.Fatal(err)
	}

	// In the place of the file that runs, nobody writes into it.
	if err := os.Rename(pipe, p.file); err != nil {
		t.Fatal(err)
	}
	p.says(1, p.file+": is not a regular file, name one that is", "reload")
	p.writeText(text)
	p.says(0, "unchanged", "reload")
}
