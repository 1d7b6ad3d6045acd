package config

import "testing"

func TestTracingMistakes(t *testing.T) {
	f := func(tracing string, want ...string) {
		t.Helper()
		doc := complete("tracing: " + tracing)
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}
	f(`{endpoint: "http://127.0.0.1:4318", sample: 0.5}`)
	f(`{endpoint: "http://127.0.0.1:4318", sample: 1}`)
	f(`{endpoint: "127.0.0.1:4318", protocol: grpc, sample: 1.5, service_name: "", headers: {"a b": x, X: "a\nb"}}`,
		"tracing.endpoint: is no URL of a server, write http:// or https:// and its host, such as https://ops.example.com/path",
		`tracing.headers."a b": "a b" is not the name of a header, write it as X-Api-Key`,
		`tracing.headers.X: has an unprintable character, leave it out`,
		`tracing.protocol: "grpc" is not known, use one of http`,
		"tracing.sample: 1.5 is out of range, write the share of traces to keep, 0 to 1, such as 0.01",
		"tracing.service_name: is empty, write what the collector is to show")
	f(`{sample: "0.5"}`, `tracing.sample: the text "0.5" is not a number, write digits without quotes`)
	f(`{sample: .nan}`, "tracing.sample: NaN is out of range, write the share of traces to keep, 0 to 1, such as 0.01")
	f(`{sample: -1}`, "tracing.sample: -1 is out of range, write the share of traces to keep, 0 to 1, such as 0.01")
}

func TestTracingEndpoint(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:4318":       "http://127.0.0.1:4318/v1/traces",
		"http://127.0.0.1:4318/?a=b":  "http://127.0.0.1:4318/v1/traces?a=b",
		"http://127.0.0.1:4318/other": "http://127.0.0.1:4318/other",
	} {
		c := mustParse(t, "tracing: {endpoint: '"+endpoint+"'}")
		if c.Tracing.Endpoint != want || c.Tracing.Sample != 0.01 {
			t.Errorf("%s becomes %+v", endpoint, c.Tracing)
		}
	}
}

// A variable has no type.
func TestSampleOfTheEnvironment(t *testing.T) {
	doc := []byte(complete(""))
	c, _, err := Parse(doc, "yaml", "t.yaml", Options{Environ: []string{"HOLDFAST_TRACING_SAMPLE=0.5"}})
	if err != nil || c.Tracing.Sample != 0.5 {
		t.Errorf("%v, %v", c, err)
	}
	if _, _, err = Parse(doc, "yaml", "t.yaml", Options{Environ: []string{"HOLDFAST_TRACING_SAMPLE=half"}}); err == nil ||
		err.Error() != `HOLDFAST_TRACING_SAMPLE: tracing.sample: "half" is not a number, write it as 0.5` {
		t.Errorf("half: %v", err)
	}
}
