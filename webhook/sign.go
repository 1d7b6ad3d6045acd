package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/holdfast-lb/holdfast/internal/file"
)

const (
	maxSecretFile = 4 << 10
	minSecret     = 16 // bytes
	// secretPrefix marks a secret that is written in base64.
	secretPrefix = "whsec_"
)

// loadSecret reads the secret of a file; nil if none is named.
func loadSecret(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	data, err := file.Read(name, maxSecretFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	secret := bytes.TrimRight(data, "\r\n")
	if text, encoded := bytes.CutPrefix(secret, []byte(secretPrefix)); encoded {
		if secret, err = base64.StdEncoding.DecodeString(string(text)); err != nil {
			return nil, fmt.Errorf("%s: what follows %s is not base64, write it as the receiver gave it", name, secretPrefix)
		}
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("%s: the secret has %d bytes, use %d or more, such as those of openssl rand -hex 32", name, len(secret), minSecret)
	}
	return secret, nil
}

// sign returns the value of a Webhook-Signature field.
func sign(key []byte, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, id+"."+at+".")
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
