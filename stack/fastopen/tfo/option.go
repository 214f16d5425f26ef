package tfo

import (
	"crypto/subtle"
	"encoding/hex"

	"github.com/wskstack/wskstack/stack/seg"
)

// Kind is the TCP option kind that carries Fast Open.
type Kind uint8

// The two forms of the option.
const (
	// KindFO is the assigned kind (RFC 7413 §4.1.1).
	KindFO Kind = 34
	// KindExp is the shared experimental kind (RFC 6994) with the identifier
	// that Fast Open's drafts used, 0xF989.
	KindExp Kind = 254
)

const expID = 0xf989

// Lengths of a cookie in bytes (RFC 7413 §4.1.1).
const (
	MinCookie = 4
	MaxCookie = 16
)

// Cookie is a Fast Open cookie: no bytes, or an even number from 4 to 16. The
// zero value is the empty cookie, which as an option asks for one. Cookies are
// comparable with ==; a server compares secrets with Equal.
type Cookie struct {
	b [MaxCookie]byte
	n uint8
}

// MakeCookie copies b. It reports false for a length that no cookie has.
func MakeCookie(b []byte) (Cookie, bool) {
	if len(b)%2 != 0 || len(b) < MinCookie || len(b) > MaxCookie {
		return Cookie{}, false
	}
	c := Cookie{n: uint8(len(b))}
	copy(c.b[:], b)
	return c, true
}

// Empty reports whether there is no cookie.
func (c Cookie) Empty() bool { return c.n == 0 }

// Bytes returns a copy of the cookie.
func (c Cookie) Bytes() []byte { return append([]byte(nil), c.b[:c.n]...) }

// Equal compares length and bytes in constant time.
func (c Cookie) Equal(d Cookie) bool {
	return c.n == d.n && subtle.ConstantTimeCompare(c.b[:], d.b[:]) == 1
}

// String is the cookie in hexadecimal.
func (c Cookie) String() string { return hex.EncodeToString(c.b[:c.n]) }

// Option is a Fast Open option. With an empty cookie it is a request.
type Option struct {
	Kind   Kind
	Cookie Cookie
}

// size is the encoded length before padding.
func (o Option) size() int {
	if o.Kind == KindExp {
		return 4 + int(o.Cookie.n)
	}
	return 2 + int(o.Cookie.n)
}

// paddedSize is the encoded length as it counts against the 40 option bytes.
func (o Option) paddedSize() int { return (o.size() + 3) &^ 3 }

// append encodes the option, without padding.
func (o Option) append(b []byte) []byte {
	b = append(b, byte(o.Kind), byte(o.size()))
	if o.Kind == KindExp {
		b = append(b, expID>>8, expID&0xff)
	}
	return append(b, o.Cookie.b[:o.Cookie.n]...)
}

// ParseOption finds the Fast Open option of a segment. As in Linux the last one
// counts where there are several, one with an odd cookie length is as good as
// absent, and one with another impossible length hides those before it. On a
// segment without SYN there is never one (RFC 7413 §4.1.1).
func ParseOption(s seg.Segment) (o Option, ok bool) {
	if !s.Flags().Has(seg.SYN) {
		return Option{}, false
	}
	for kind, body := range s.Options() {
		k := Kind(kind)
		switch {
		case k == KindFO:
		case k == KindExp && len(body) >= 2 && int(body[0])<<8|int(body[1]) == expID:
			body = body[2:]
		default:
			continue
		}
		if len(body)%2 != 0 {
			continue
		}
		var c Cookie
		c, ok = MakeCookie(body)
		ok = ok || len(body) == 0
		o = Option{Kind: k, Cookie: c}
	}
	if !ok {
		return Option{}, false
	}
	return o, true
}
