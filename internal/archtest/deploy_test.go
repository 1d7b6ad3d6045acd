package archtest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-lb/holdfast/config"
)

const deploy = root + "/deploy"

var metricName = regexp.MustCompile(`\bholdfast_[a-z0-9_]+\b`)

// Alerts and panels ask for metrics that there are.
func TestDeployAsksForRealMetrics(t *testing.T) {
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(holdfast_[a-z0-9_]+)` \\| (\\w+)").FindAllStringSubmatch(read(t, root+"/docs/metrics.md"), -1) {
		known[m[1]] = true
		if m[2] == "histogram" {
			known[m[1]+"_bucket"], known[m[1]+"_sum"], known[m[1]+"_count"] = true, true, true
		}
	}
	for _, name := range []string{"prometheus/rules.yaml", "prometheus/rules_test.yaml", "grafana/holdfast.json"} {
		asked := metricName.FindAllString(read(t, deploy+"/"+name), -1)
		if len(asked) < 10 {
			t.Errorf("%s names %d metrics, the pattern has gone blind", name, len(asked))
		}
		for _, metric := range asked {
			if !known[metric] {
				t.Errorf("%s asks for %s, which docs/metrics.md does not have", name, metric)
			}
		}
	}
}

// Each alert is tested, and the panels of the dashboard do not overlap.
func TestDeployRulesAndDashboard(t *testing.T) {
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, deploy+"/prometheus/rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	tests := read(t, deploy+"/prometheus/rules_test.yaml")
	for _, r := range rules.Groups[0].Rules {
		if !strings.Contains(tests, "alertname: "+r.Alert+"\n") {
			t.Errorf("no test has the alert %s fire", r.Alert)
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, deploy+"/grafana/holdfast.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	taken := map[[2]int]string{}
	for _, p := range dashboard.Panels {
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q at %d, %d", p.Title, other, x, y)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

func TestDeployRulesFire(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: the alert rules are not tested")
	}
	cmd := exec.Command(promtool, "test", "rules", "rules_test.yaml")
	cmd.Dir = deploy + "/prometheus"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What Kubernetes and Compose start Holdfast with is valid.
func TestDeployConfigurations(t *testing.T) {
	options := config.Options{Environ: []string{"HOLDFAST_ADMIN_TOKEN=0123456789abcdef"}}
	check := func(name, text string) {
		t.Helper()
		_, warnings, err := config.Parse([]byte(text), "yaml", name, options)
		if err != nil || len(warnings) > 0 {
			t.Errorf("%v %v", err, warnings)
		}
	}
	check("compose/holdfast.yaml", read(t, deploy+"/compose/holdfast.yaml"))

	kinds := map[string]int{}
	files, err := filepath.Glob(deploy + "/kubernetes/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		documents := yaml.NewDecoder(f)
		for {
			var object struct {
				Kind string
				Data map[string]string
			}
			if err := documents.Decode(&object); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("%s: %v", file, err)
				}
				break
			}
			kinds[object.Kind]++
			if object.Kind == "ConfigMap" {
				check("kubernetes", object.Data["holdfast.yaml"])
			}
		}
	}
	for _, want := range []string{"ConfigMap", "Deployment", "Service", "PodDisruptionBudget", "StatefulSet"} {
		if kinds[want] == 0 {
			t.Errorf("no %s in deploy/kubernetes", want)
		}
	}
	var compose struct {
		Services map[string]yaml.Node
	}
	if err := yaml.Unmarshal([]byte(read(t, deploy+"/compose/compose.yaml")), &compose); err != nil || len(compose.Services) != 4 {
		t.Errorf("compose has %d services, %v", len(compose.Services), err)
	}
}

// Kubernetes takes no name for a user that is not root, only a number.
func TestImageIsNotRoot(t *testing.T) {
	if !regexp.MustCompile(`(?m)^USER [1-9][0-9]*(:[1-9][0-9]*)?$`).MatchString(read(t, root+"/Dockerfile")) {
		t.Error("the Dockerfile has no USER by number")
	}
	if !strings.Contains(read(t, deploy+"/kubernetes/holdfast.yaml"), "runAsNonRoot: true") {
		t.Error("the Deployment may run as root")
	}
}
