package certs

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/internal/file"
)

// maxFile is the size in bytes that a file of certificates may have.
const maxFile = 16 << 20

// certificate is one with its key and chain. It is immutable.
type certificate struct {
	tls.Certificate          // Leaf is set
	key, file       string   // where it comes from: the key of the configuration, and the path
	names           []string // that clients may ask for, in lower case
	remarks         []string // what is probably not meant, each with its remedy
	ordered         bool     // by ACME, and not from files
}

// same tells whether c is o, served by the same key.
func (c *certificate) same(o *certificate) bool {
	return slices.EqualFunc(c.Certificate.Certificate, o.Certificate.Certificate, bytes.Equal)
}

// mistake is what is wrong with the file under a key of the configuration.
type mistake struct{ key, file, text string }

// Error implements error.
func (m mistake) Error() string { return m.key + ": " + m.file + ": " + m.text }

// loadPair reads a certificate and its key. path is the key path of the pair.
func loadPair(path string, files config.KeyPair) (*certificate, error) {
	certKey, keyKey := path+".cert", path+".key"
	chain, certErr := loadChain(certKey, files.Cert)
	key, keyErr := loadKey(keyKey, files.Key)
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, err
	}
	switch place := slices.IndexFunc(chain, func(c *x509.Certificate) bool { return owns(key, c) }); {
	case place < 0:
		return nil, mistake{keyKey, files.Key, "does not match the certificate in " + files.Cert + ", write the key that the certificate was made with"}
	case place > 0:
		return nil, mistake{certKey, files.Cert, fmt.Sprintf("its first certificate is not that of the key in %s, the one at place %d is: put the server's own first and its chain behind it", files.Key, place+1)}
	}
	c := &certificate{
		Certificate: tls.Certificate{PrivateKey: key, Leaf: chain[0]},
		key:         certKey, file: files.Cert,
		names: namesOf(chain[0]),
	}
	for _, cert := range chain {
		c.Certificate.Certificate = append(c.Certificate.Certificate, cert.Raw)
	}
	c.remarks = remarks(certKey, files.Cert, chain)
	if info, err := os.Stat(files.Key); err == nil && info.Mode().Perm()&0o004 != 0 {
		c.remarks = append(c.remarks, mistake{keyKey, files.Key, "can be read by everybody on this machine, take that from them with chmod o-r"}.Error())
	}
	return c, nil
}

// readFile returns the text of the file under a key.
func readFile(key, name string) ([]byte, error) {
	text, err := file.Read(name, maxFile)
	if err != nil {
		return nil, mistake{key, name, err.Error()}
	}
	return text, nil
}

// loadChain returns the certificates in a file, at least one.
func loadChain(key, file string) ([]*x509.Certificate, error) {
	text, err := readFile(key, file)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	other := ""
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			other = block.Type
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, mistake{key, file, fmt.Sprintf("its certificate %d cannot be parsed: %v", len(chain)+1, err)}
		}
		chain = append(chain, cert)
	}
	if len(chain) > 0 {
		return chain, nil
	}
	if _, err := x509.ParseCertificate(text); err == nil {
		return nil, mistake{key, file, "is in DER, make PEM of it with openssl x509 -inform der"}
	}
	found := "is empty"
	switch {
	case other != "":
		found = "holds " + strings.ToLower(other) + " and no certificate"
	case len(bytes.TrimSpace(text)) > 0:
		found = "holds no certificate"
	}
	return nil, mistake{key, file, found + ", write a PEM file with -----BEGIN CERTIFICATE-----"}
}

// loadKey returns the private key in a file.
func loadKey(key, file string) (crypto.Signer, error) {
	text, err := readFile(key, file)
	if err != nil {
		return nil, err
	}
	other := ""
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return nil, mistake{key, file, "is encrypted, and nobody is there to be asked for the password: decrypt it with openssl pkey, and let only Holdfast's user read the result"}
		}
		if block.Type != "PRIVATE KEY" && !strings.HasSuffix(block.Type, " PRIVATE KEY") {
			other = block.Type // such as EC PARAMETERS, or a certificate
			continue
		}
		signer, err := parseDER(block.Bytes)
		if err != nil {
			return nil, mistake{key, file, "its key cannot be parsed: " + err.Error()}
		}
		return signer, nil
	}
	if _, err := parseDER(text); err == nil {
		return nil, mistake{key, file, "is in DER, make PEM of it with openssl pkey -inform der"}
	}
	found := "is empty"
	switch {
	case other != "":
		found = "holds " + strings.ToLower(other) + " and no key"
	case len(bytes.TrimSpace(text)) > 0:
		found = "holds no key"
	}
	return nil, mistake{key, file, found + ", write a PEM file with -----BEGIN PRIVATE KEY-----"}
}

// parseDER reads a key in any of the three forms that are in use. Its errors
// hold nothing of the key.
func parseDER(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("it is neither PKCS #8, PKCS #1 nor SEC 1")
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T signs nothing, use ECDSA, RSA or Ed25519", k)
	}
	return signer, nil
}

// owns tells whether cert was made for key.
func owns(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// namesOf lists the names that a client may ask for.
func namesOf(leaf *x509.Certificate) []string {
	var names []string
	for _, name := range leaf.DNSNames {
		names = append(names, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

// remarks finds what is legal and makes clients fail all the same.
func remarks(key, file string, chain []*x509.Certificate) []string {
	var list []string
	remark := func(text string) { list = append(list, mistake{key, file, text}.Error()) }
	if leaf := chain[0]; len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
		remark("its certificate has no subject alternative name, without which clients refuse it, order one with the names of the hosts")
	}
	for i, cert := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(cert); err != nil {
			remark(fmt.Sprintf("its certificate %d is not signed by the one behind it, so clients may find no way to an authority: put the chain in order", i+1))
			break
		}
	}
	return list
}

// authorities are those whose clients may come in. They are immutable.
type authorities struct {
	pool *x509.CertPool
	id   [sha256.Size]byte // equal for equal certificates in the same order
}

func loadAuthorities(key, file string) (*authorities, error) {
	list, err := loadChain(key, file)
	if err != nil {
		return nil, err
	}
	a := &authorities{pool: x509.NewCertPool()}
	h := sha256.New()
	for _, cert := range list {
		a.pool.AddCert(cert)
		_, _ = h.Write(cert.Raw) // DER says itself how long it is
	}
	h.Sum(a.id[:0])
	return a, nil
}
