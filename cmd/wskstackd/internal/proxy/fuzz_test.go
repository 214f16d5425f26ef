package proxy

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"
)

func FuzzSOCKS5(f *testing.F) {
	for _, s := range []string{
		"\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
		"\x01\x00\x05\x01\x00\x03\x0bexample.com\x00\x50early",
		"\x02\x00\x02\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := check(t, append([]byte{socksVersion}, b...))
		if whole.done && whole.req.Protocol != SOCKS5 {
			t.Errorf("%q became %+v", b, whole.req)
		}
	})
}

func FuzzConnect(f *testing.F) {
	for _, s := range []string{
		"a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"[::1]:443 HTTP/1.0\r\n\r\n",
		"a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nmore",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		input := append([]byte("CONNECT "), b...)
		whole := check(t, input)
		if !whole.done {
			return
		}
		// What we take for a request, Go's own parser takes for the same one.
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(input)))
		if err != nil || r.Method != methodConnect {
			t.Fatalf("%q: net/http says %v", input, err)
		}
		if theirs, err := ParseTarget(r.RequestURI); err != nil || theirs != whole.req.Target {
			t.Errorf("%q: %v, net/http has %q", input, whole.req, r.RequestURI)
		}
	})
}

// check takes the input at once and byte by byte, and compares.
func check(t *testing.T, b []byte) outcome {
	t.Helper()
	whole := negotiate(t, string(b), len(b))
	if whole.done {
		b = b[:len(b)-len(whole.early)]
		whole.early = ""
		// A target says what it is in its own words.
		again, err := ParseTarget(whole.req.String())
		if err != nil || again != whole.req.Target {
			t.Errorf("%v, read again: %v, %v", whole.req, again, err)
		}
		if a := whole.req.Addr; a.IsValid() == (whole.req.Name != "") || a.Is4In6() || a.Zone() != "" || whole.req.Port == 0 {
			t.Errorf("%q became %+v", b, whole.req)
		}
		if strings.ContainsAny(whole.req.Name, "\x00\r\n %:/@") {
			t.Errorf("%q became the name %q", b, whole.req.Name)
		}
	}
	pieces := negotiate(t, string(b), 1)
	// A request of HTTP that has more behind it is refused if that came with it.
	if pieces != whole && !(pieces.done && pieces.req.Protocol == HTTP && whole.result == Malformed && pieces.early != "") {
		t.Errorf("%q: at once %+v, in pieces %+v", b, whole, pieces)
	}
	return whole
}
