package modalfake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"
)

// auth is who may call: one token id and secret, as a person has them, and the auth tokens that are given out for them.
type auth struct {
	path string

	TokenID     string `json:"token_id"`
	TokenSecret string `json:"token_secret"`
	// Key signs auth tokens and the addresses of blocks. With a new one, all that were given out are void.
	Key []byte `json:"key"`
}

func openAuth(path string) (*auth, error) {
	a := &auth{path: path}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return a, a.rotate()
	}
	if err != nil {
		return nil, err
	}
	return a, json.Unmarshal(raw, a)
}

// rotate makes all tokens void and new ones in their place.
func (a *auth) rotate() error {
	a.TokenID, a.TokenSecret = newID("ak"), newID("as")
	return a.rotateKey()
}

func (a *auth) rotateKey() error {
	a.Key = []byte(newID("key"))
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return publish(a.path, raw)
}

func (a *auth) sign(text string) string {
	mac := hmac.New(sha256.New, a.Key)
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signed says whether the signature is that of the text.
func (a *auth) signed(text, signature string) bool {
	return hmac.Equal([]byte(a.sign(text)), []byte(signature))
}

type claims struct {
	Expires int64 `json:"exp"` // clients renew a token by it
}

// token returns an auth token: a JSON Web Token, since the clients look into it for the time when it expires.
func (a *auth) token(life time.Duration) (string, error) {
	body, err := json.Marshal(claims{Expires: time.Now().Add(life).Unix()})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	return text + "." + a.sign(text), nil
}

func (a *auth) validToken(token string) bool {
	at := strings.LastIndexByte(token, '.')
	if at < 0 || !a.signed(token[:at], token[at+1:]) {
		return false
	}
	_, body, _ := strings.Cut(token[:at], ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return false
	}
	var c claims
	return json.Unmarshal(raw, &c) == nil && time.Now().Unix() <= c.Expires
}
