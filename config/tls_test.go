package config

import (
	"crypto/tls"
	"strings"
	"testing"
)

func TestCipherSuite(t *testing.T) {
	f := func(name string, want uint16, wantErr string) {
		t.Helper()
		got, err := CipherSuite(name)
		if got != want || wantErr == "" != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), wantErr) {
			t.Errorf("%q is %x, %v, want %x, %s", name, got, err, want, wantErr)
		}
	}
	f("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "")
	f("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "")
	f("TLS_AES_128_GCM_SHA256", 0, `"TLS_AES_128_GCM_SHA256" belongs to TLS 1.3`)
	f("TLS_RSA_WITH_AES_128_GCM_SHA256", 0, `"TLS_RSA_WITH_AES_128_GCM_SHA256" is insecure, use one of TLS_ECDHE_`)
	f("ECDHE-ECDSA-AES256-GCM-SHA384", 0, `"ECDHE-ECDSA-AES256-GCM-SHA384" is OpenSSL's name, write TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384`)
	f("ECDHE-RSA-CHACHA20-POLY1305", 0, `"ECDHE-RSA-CHACHA20-POLY1305" is OpenSSL's name, write TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256`)
	f("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265", 0, `"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265" does not exist, did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256?`)
	f("HIGH:!aNULL:!MD5", 0, `"HIGH:!aNULL:!MD5" does not exist, use one of TLS_ECDHE_`)
	f("", 0, `"" does not exist, use one of TLS_ECDHE_`)
}

func TestValidateTLS(t *testing.T) {
	f := func(tls string, want ...string) {
		t.Helper()
		doc := complete("listeners: [{name: web, address: ':80', tls: {" + tls + "}}]")
		for i := range want {
			want[i] = "listeners[0].tls" + want[i]
		}
		checkLines(t, doc, errorText(doc, "yaml"), want...)
	}
	f("", ".certificates: there are none, write at least one, such as {cert: game.crt, key: game.key}, or acme")
	f("certificates: [{cert: a, key: b}], min_version: '1.3'")
	f("certificates: [{}], min_version: '1.0'",
		".certificates[0].cert: is missing, write the path of a PEM file with the certificate and its chain",
		".certificates[0].key: is missing, write the path of the PEM file with the key that belongs to cert",
		`.min_version: "1.0" is not known, use one of 1.2, 1.3`)
	f("certificates: [{cert: a, key: b}], min_version: 1.2", ".min_version: the number 1.2 is not text, put it between quotes")
	f("certificates: [{cert: a, key: b}], cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384]",
		`.cipher_suites[1]: "TLS_AES_256_GCM_SHA384" belongs to TLS 1.3, all of whose suites are strong and used, leave it out`)

	f("acme: {domains: [Game.example]}")
	f("acme: {}", ".acme.domains: there are none, write at least one, such as game.example.com")
	f("acme: {domains: ['*.example', 'https://a', 10.0.0.1, a.example, A.example], email: ops, directory: 'http://a', storage: ''}",
		`.acme.directory: "http://a" is not the URL of a directory, write it as https://acme.example/directory, or leave it out for Let's Encrypt`,
		`.acme.domains[0]: "*.example" is a wildcard, which an authority only gives to who changes the DNS for it: name each host, or have another program order it and write its files under certificates`,
		`.acme.domains[1]: "https://a" is not a host name, write one such as game.example.com, without scheme, port and path`,
		`.acme.domains[2]: "10.0.0.1" is not a host name, write one such as game.example.com, without scheme, port and path`,
		`.acme.domains[4]: domain "a.example" is taken by listeners[0].tls.acme.domains[3], give each its own`,
		`.acme.email: "ops" is not an address, write one such as ops@example.com, or leave it out`,
		`.acme.storage: is empty, write the path of a directory that Holdfast may write to`)

	_, warnings, err := Parse([]byte(complete("listeners: [{name: web, address: ':80', tls: {certificates: [{cert: a, key: b}], min_version: '1.3', cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}}]")), "yaml", "t.yaml", Options{})
	if err != nil || len(warnings) != 1 || warnings[0].Path != "listeners[0].tls.cipher_suites" {
		t.Errorf("%v, %v", warnings, err)
	}
}

// Paths of TLS are relative to the file, and files that change are noticed.
func TestTLSFiles(t *testing.T) {
	doc := complete("listeners: [{name: web, address: ':80', tls: {certificates: [{cert: a.crt, key: /b.key}], client_ca: ca.pem, acme: {domains: [a], ca: root.pem}}}]")
	c, _, err := Parse([]byte(doc), "yaml", "/etc/holdfast/t.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Files(), " "); got != "/etc/holdfast/a.crt /b.key /etc/holdfast/ca.pem /etc/holdfast/root.pem" || c.Listeners[0].TLS.ACME.Storage != "/etc/holdfast/acme" {
		t.Errorf("the files are %s", got)
	}
}
