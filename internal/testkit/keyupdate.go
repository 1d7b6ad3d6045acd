package testkit

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"strings"
)

// ErrCipherSuite is the error of [NewUpdater] where TLS does not choose
// AES-128-GCM, as it does where the processor helps with AES.
var ErrCipherSuite = errors.New("another cipher suite than that of processors with AES")

// Updater is the server's side of a TLS 1.3 connection that can say KeyUpdate
// (RFC 8446, section 4.6.3), which crypto/tls never does by itself. All that it
// says goes through it.
type Updater struct {
	conn   net.Conn
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	next   uint64 // record under this key
}

// NewUpdater does the handshake by cfg, and returns what says the rest.
func NewUpdater(conn net.Conn, cfg *tls.Config) (*Updater, *tls.Conn, error) {
	var keys bytes.Buffer
	cfg = cfg.Clone()
	cfg.KeyLogWriter, cfg.SessionTicketsDisabled, cfg.MinVersion = &keys, true, tls.VersionTLS13
	c := tls.Server(conn, cfg)
	if err := c.Handshake(); err != nil {
		return nil, nil, err
	}
	if c.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, nil, ErrCipherSuite
	}
	for line := range strings.Lines(keys.String()) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "SERVER_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			u := &Updater{conn: conn}
			return u, c, errors.Join(err, u.use(secret))
		}
	}
	return nil, nil, errors.New("no secret")
}

// use makes keys of a secret.
func (u *Updater) use(secret []byte) error {
	u.secret, u.next = secret, 0
	key, err := u.expand("key", 16)
	if err != nil {
		return err
	}
	if u.iv, err = u.expand("iv", 12); err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err == nil {
		u.aead, err = cipher.NewGCM(block)
	}
	return err
}

// expand is HKDF-Expand-Label of the secret (RFC 8446, section 7.1).
func (u *Updater) expand(label string, length int) ([]byte, error) {
	label = "tls13 " + label
	info := append([]byte{0, byte(length), byte(len(label))}, label...)
	return hkdf.Expand(sha256.New, u.secret, string(append(info, 0)), length)
}

// record writes one of a content type: 22 handshake, 23 application data.
func (u *Updater) record(content byte, data string) error {
	nonce := bytes.Clone(u.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^u.next)
	u.next++
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(data)+1+u.aead.Overhead()))
	_, err := u.conn.Write(u.aead.Seal(head, nonce, append([]byte(data), content), head))
	return err
}

// Write says p as application data.
func (u *Updater) Write(p []byte) (int, error) { return len(p), u.record(23, string(p)) }

// Update changes the key, and asks the other side to do so if asks is 1.
func (u *Updater) Update(asks byte) error {
	if err := u.record(22, string([]byte{24, 0, 0, 1, asks})); err != nil {
		return err
	}
	secret, err := u.expand("traffic upd", len(u.secret))
	return errors.Join(err, u.use(secret))
}
