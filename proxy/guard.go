package proxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/holdfast-lb/holdfast/auth"
	"github.com/holdfast-lb/holdfast/config"
	"github.com/holdfast-lb/holdfast/metrics"
)

// guard says who may use a route. Nil: anybody. It judges before a backend is
// picked, a handshake as any other request.
type guard struct {
	access  *accessList // nil: from anywhere
	origins *originList // nil: any page

	// At most one of these.
	basic   *auth.Basic
	tokens  *auth.Tokens // filled by Swap if they come with keys
	forward *auth.Forward

	from     key      // of the token; noKey: Authorization
	keysURL  string   // of tokens; empty: a secret
	audience string   // of tokens with keys
	copied   []string // names that forward's answer sets
	dropped  []string // the same in lower case and with hyphens; see copiedFields
}

// compileGuard reads the files that the route names. It dials nobody.
func compileGuard(r config.Route) (*guard, error) {
	g := &guard{}
	var err error
	if g.access, err = newAccessList(r.Access); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	if g.origins, err = newOriginList(r.Origins); err != nil {
		return nil, fmt.Errorf("origins: %w", err)
	}
	switch a := r.Auth; {
	case a == nil:
	case a.Basic != nil:
		if g.basic, err = auth.LoadBasic(a.Basic.Realm, a.Basic.UsersFile); err != nil {
			return nil, fmt.Errorf("auth.basic.users_file: %w", err)
		}
	case a.JWT != nil:
		if err := g.compileTokens(*a.JWT); err != nil {
			return nil, err
		}
	case a.Forward != nil:
		g.forward = auth.NewForward(a.Forward.URL, a.Forward.Timeout)
		for _, name := range a.Forward.CopyHeaders {
			g.copied = append(g.copied, name)
			g.dropped = append(g.dropped, strings.ReplaceAll(strings.ToLower(name), "_", "-"))
		}
	}
	if g.access == nil && g.origins == nil && r.Auth == nil {
		return nil, nil
	}
	return g, nil
}

func (g *guard) compileTokens(j config.JWTAuth) (err error) {
	if kind, name, named := strings.Cut(j.From, ":"); named {
		if g.from, err = namedKey(kind, name); err != nil {
			return fmt.Errorf("auth.jwt.from: %w", err)
		}
	}
	if j.JWKSURL != "" {
		g.keysURL, g.audience = j.JWKSURL, j.Audience
		return nil
	}
	if g.tokens, err = auth.LoadTokens(j.SecretFile, j.Audience); err != nil {
		return fmt.Errorf("auth.jwt.secret_file: %w", err)
	}
	return nil
}

// watch gives the guards of rt the keys and connections that outlive a
// Runtime, and ends those that no guard needs any more. p.swap is held.
func (p *Proxy) watch(rt *Runtime) {
	keys := make(map[string]*auth.Keys)
	var forwards []*auth.Forward
	for _, r := range rt.routes {
		g := r.guard
		if g == nil {
			continue
		}
		if url := g.keysURL; url != "" {
			if keys[url] == nil {
				keys[url] = p.keys[url]
			}
			if keys[url] == nil {
				keys[url] = auth.NewKeys(url, p.log)
			}
			if g.tokens == nil || keys[url] != p.keys[url] {
				g.tokens = auth.NewTokens(keys[url], g.audience)
			}
		}
		if g.forward != nil {
			forwards = append(forwards, g.forward)
		}
	}
	p.retire(keys, forwards)
	p.keys, p.forwards = keys, forwards
}

// retire ends what watch has begun, but for these.
func (p *Proxy) retire(keep map[string]*auth.Keys, stay []*auth.Forward) {
	for url, k := range p.keys {
		if keep[url] == nil {
			k.Close()
		}
	}
	for _, f := range p.forwards {
		if !slices.Contains(stay, f) {
			f.Close()
		}
	}
}

// guarded asks the route's guard, which is there. It is true when the request
// may go on; otherwise it has been answered and x given back.
func (x *exchange) guarded() bool {
	g := x.route.guard
	if g.access != nil && !g.access.admits(x.req.client.ip) {
		return x.deny(addressDenied, "")
	}
	if g.origins != nil && x.req.wantsWebSocket() && !g.origins.admits(&x.req.fields) {
		return x.deny(originDenied, "")
	}
	switch {
	case g.basic != nil:
		authorization, n := x.req.fields.sole("authorization")
		v := auth.Wrong
		if n <= 1 {
			v = g.basic.Check(authorization)
		}
		if v != auth.Pass {
			return x.deny(classOfCredentials(v), g.basic.Challenge())
		}
		x.named = true
	case g.tokens != nil:
		if v := g.checkToken(&x.req); v != auth.Pass {
			return x.deny(classOfToken(v), challengeFor(v))
		}
	case g.forward != nil:
		return x.askForward(g)
	}
	return true
}

// deny answers for the backend, and gives x back. challenge is the value of
// WWW-Authenticate, which belongs to a 401 (RFC 9110, section 15.5.2).
func (x *exchange) deny(c class, challenge string) bool {
	ctx := x.ctx // x is another request's soon
	if x.req.wantsWebSocket() {
		x.refuseHandshake(c, metrics.HandshakeDenied)
	} else {
		x.refuse(c)
	}
	if c.status() == fasthttp.StatusUnauthorized {
		ctx.Response.Header.Set("WWW-Authenticate", challenge)
	}
	return false
}

func classOfCredentials(v auth.Verdict) class {
	switch v {
	case auth.Missing:
		return credentialsMissing
	case auth.Busy:
		return authBusy
	}
	return credentialsWrong
}

func classOfToken(v auth.Verdict) class {
	switch v {
	case auth.Missing:
		return tokenMissing
	case auth.Expired:
		return tokenExpired
	case auth.Audience:
		return tokenAudience
	case auth.NoKeys:
		return keysMissing
	}
	return tokenWrong
}

// challengeFor is the challenge of RFC 6750, section 3: no error for those who
// brought nothing.
func challengeFor(v auth.Verdict) string {
	if v == auth.Missing {
		return "Bearer"
	}
	return `Bearer error="invalid_token"`
}
