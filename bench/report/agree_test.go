package report

import (
	"strings"
	"testing"
)

func TestAgreement(t *testing.T) {
	a, b := sample(), sample()
	for i := range b.Runs {
		if b.Runs[i].Scenario == "pingpong" && b.Runs[i].Peer == "holdfast" {
			b.Runs[i].Result.Rate *= 1.2
		}
	}
	f := func(a, b *Report, want, not string) {
		t.Helper()
		var out strings.Builder
		if err := WriteAgreement(&out, a, b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
		if not != "" && strings.Contains(out.String(), not) {
			t.Errorf("%q in:\n%s", not, out.String())
		}
	}
	// Of holdfast, haproxy and nginx: to haproxy (2) and to the best peer (3);
	// idle has one balancer, so no ratio.
	f(a, a, "5 of 5 ratios agree within 10 %", "Those that do not")
	f(a, b, "3 of 5 ratios agree within 10 %", "")
	f(b, a, "| pingpong | holdfast |       haproxy |  1.38 |   1.15 |      20 % |", "")
	nothing := func(a, b *Report, want string) {
		t.Helper()
		var out strings.Builder
		if err := WriteAgreement(&out, a, b); err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%v, want %q; written %q", err, want, out.String())
		}
	}
	c := sample()
	c.Scenarios, c.Runs = c.Scenarios[1:], c.Runs[6:]
	nothing(a, c, "no ratio is in both, the first has pingpong idle by holdfast haproxy nginx, the second idle by holdfast haproxy nginx; measure the same scenarios")
	nothing(&Report{}, c, "the first has no scenario, the second idle by")
	if err := WriteAgreement(broken{}, a, b); err == nil {
		t.Error("want the writer's error")
	}
}
