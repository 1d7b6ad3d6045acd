package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-lb/holdfast/internal/testkit"
)

// holdfast runs a command of the terminal against p, and returns what it wrote
// and its exit status.
func (p *process) holdfast(args ...string) (stdout, stderr string, status int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 2*patience)
	defer cancel()
	at := 1 // behind the command's name
	if args[0] == "__complete" {
		at = 2
	}
	cmd := exec.CommandContext(ctx, program, slices.Insert(slices.Clone(args), at, "--admin", p.admin)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.t.Fatalf("run %s: %v", cmd, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// says fails the test unless a command exits with status and writes what is
// wanted, to standard output if it succeeds and to standard error otherwise.
func (p *process) says(status int, want string, args ...string) {
	p.t.Helper()
	out, errs, got := p.holdfast(args...)
	text := out
	if status != 0 {
		text = errs
	}
	if got != status || !strings.Contains(text, want) {
		p.t.Errorf("holdfast %s: status %d, want %d and %q\nstdout: %s\nstderr: %s", strings.Join(args, " "), got, status, want, out, errs)
	}
}

func TestOperatorAtTheTerminal(t *testing.T) {
	t.Parallel()
	first, second := startArena(t, "b1"), startArena(t, "b2")
	sick := freeAddr(t)
	p := start(t, setup{rest: siteOf([]string{first.Addr, second.Addr}, "balance: least_conn")})

	out, _, status := p.holdfast("status")
	if status != 0 || !strings.Contains(out, "b1") || !strings.Contains(out, "http://"+second.Addr) || !strings.Contains(out, "0 sockets.") {
		t.Errorf("status %d:\n%s", status, out)
	}
	var answer struct {
		Status struct{ Ready bool }
		Pools  []struct{ Name string }
	}
	out, _, status = p.holdfast("status", "--json")
	if err := json.Unmarshal([]byte(out), &answer); err != nil || status != 0 || !answer.Status.Ready || len(answer.Pools) != 1 {
		t.Errorf("status --json: %d, %v:\n%s", status, err, out)
	}

	// A drain keeps new sockets out, an undrain lets them in.
	p.says(0, "web/b1 is drained: 0 sockets", "drain", "web/b1")
	openPeers(t, p.web, "/", 4)
	if n := p.sockets("web"); n[0] != 0 || n[1] != 4 {
		t.Errorf("sockets are %v while b1 drains, want [0 4]", n)
	}
	p.says(0, "web/b1 takes sockets again", "undrain", "web/b1")
	openPeers(t, p.web, "/", 4)
	if n := p.sockets("web"); n[0] != 4 || n[1] != 4 {
		t.Errorf("sockets are %v after the undrain, want [4 4]", n)
	}
	p.says(0, "web is in maintenance", "maintenance", "web")
	p.says(1, "no usable backend in web", "status")
	p.says(0, "web takes sockets again", "undrain", "web")
	p.says(1, `pool "web" has no backend "b9"`, "drain", "web/b9")
	p.says(1, `there is no pool "x"`, "undrain", "x/b1")
	p.says(0, "web/b2", "__complete", "drain", "")

	// A reload is waited for.
	p.says(0, "the configuration is unchanged", "reload")
	p.write(siteOf([]string{first.Addr, second.Addr, sick}, "balance: least_conn"))
	p.says(0, "reloaded: pools ~web(+b3)", "reload")
	p.write("routes: [{pool: nowhere}]\npools: {web: {balance: best, backends: [{url: 'http://a'}]}}")
	_, errs, status := p.holdfast("reload")
	for _, want := range []string{`routes[0].pool: there is no pool "nowhere"`, `pools.web.balance: "best" is not known`, "the one before it still runs"} {
		if status != 1 || !strings.Contains(errs, want) {
			t.Errorf("reload: status %d, want 1 and %q in\n%s", status, want, errs)
		}
	}
	p.write("routes: [{pool: web, auth: {basic: {users_file: no.users}}}]\nwebhooks: [{url: 'http://127.0.0.1:1', secret_file: no.secret}]\n" +
		pool("web", []string{first.Addr}))
	p.says(1, "no.users", "reload")
	p.says(1, "webhooks[0].secret_file: ", "reload")
	p.says(1, "the newest configuration is refused", "status")
	if n := p.sockets("web"); len(n) != 3 || n[0]+n[1] != 8 {
		t.Errorf("sockets are %v after the refused reload", n)
	}

	p.says(1, "is it running", "status", "--admin", freeAddr(t))
}

// What happens reaches those who follow it.
func TestEventsAreStreamed(t *testing.T) {
	t.Parallel()
	b := startArena(t, "b1")
	p := start(t, setup{rest: siteOf([]string{b.Addr}, "balance: least_conn")})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p.says(0, "web/b1", "drain", "web/b1")
	p.says(0, "unchanged", "reload")
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{`"message":"started with`, `"message":"drain, was ready"`, `"message":"the configuration is unchanged"`} {
		for lines.Scan() && !strings.Contains(lines.Text(), want) {
		}
		if !strings.Contains(lines.Text(), want) {
			t.Errorf("no event %s: %v", want, lines.Err())
		}
	}
}

// With a token, nothing is shown and nothing is done without it; a reload
// changes it.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	b := startArena(t, "b1")
	const old, next = "an-old-token-of-some-length", "a-new-token-of-some-length"
	p := start(t, setup{rest: siteOf([]string{b.Addr}, "balance: least_conn"), env: []string{"HOLDFAST_ADMIN_TOKEN=" + old}})
	if status, _, _ := p.adminGet("/metrics"); status != http.StatusUnauthorized {
		t.Errorf("/metrics without a token: %d, want 401", status)
	}
	p.says(1, "use --token, or HOLDFAST_ADMIN_TOKEN", "status")
	p.says(1, "use --token", "status", "--token", next)
	p.says(0, "b1", "status", "--token", old)
	out, _, _ := p.holdfast("status", "--json", "--token", old)
	if strings.Contains(out+p.log(), old) {
		t.Error("the token is shown")
	}

	// Flags and environment are those of the start; so change where the file
	// may: the address. The answer comes from the server that is replaced.
	from := p.admin
	p.admin = freeAddr(t)
	text := p.text(siteOf([]string{b.Addr}, "balance: least_conn"))
	p.writeText(text)
	to := p.admin
	p.admin = from
	p.says(0, "reloaded: admin", "reload", "--token", old)
	p.admin = to
	testkit.Eventually(t, patience, func() bool { return p.readyStatus() == http.StatusOK }, "the new admin address answers")
	p.says(0, "b1", "status", "--token", old)
}

// An address that others can reach needs a token, for check as for serve.
func TestOpenAdminAddressNeedsToken(t *testing.T) {
	t.Parallel()
	p := launch(t, setup{rest: siteOf([]string{freeAddr(t)}, ""), env: []string{"HOLDFAST_ADMIN_ADDRESS=0.0.0.0:0"}})
	if code := p.wait(patience); code != 1 || !strings.Contains(p.log(), "set admin.token") {
		t.Errorf("exit status %d, log:\n%s", code, p.log())
	}
}
