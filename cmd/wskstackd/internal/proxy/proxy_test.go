package proxy

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hello = "\x05\x01\x00"

// outcome is all that a negotiation brought.
type outcome struct {
	answer string
	req    Request
	done   bool
	result Result // Granted without an error
	early  string
}

// negotiate gives input in pieces of at most size bytes.
func negotiate(t *testing.T, input string, size int) outcome {
	t.Helper()
	var n Negotiation
	var o outcome
	for rest := []byte(input); len(rest) > 0; {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		answer, done, err := n.Take(piece)
		o.answer += string(answer)
		if err != nil {
			if !errors.Is(err, ErrProtocol) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("the error of %q is %q", input, err)
			}
			o.result = ResultOf(err)
			return o
		}
		if done {
			o.done, o.req, o.early = true, n.Request(), string(n.Early())+string(rest)
			return o
		}
		if len(n.buf) > MaxHead {
			t.Fatalf("%d bytes are held", len(n.buf))
		}
	}
	return o
}

func TestSOCKS5(t *testing.T) {
	longest := strings.Repeat("a.", 126) + "a"
	for _, c := range []struct {
		name, input string
		want        string // the target, or the result
		answer      string // after the greeting's
	}{
		{"IPv4", hello + "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", "192.0.2.1:80", ""},
		{"IPv6", hello + "\x05\x01\x00\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x01\xbb", "[2001:db8::1]:443", ""},
		{"IPv4 in IPv6", hello + "\x05\x01\x00\x04" + strings.Repeat("\x00", 10) + "\xff\xff\x7f\x00\x00\x01\x00\x50", "127.0.0.1:80", ""},
		{"a name", hello + "\x05\x01\x00\x03\x0bexample.com\x00\x50", "example.com:80", ""},
		{"punycode", hello + "\x05\x01\x00\x03\x0fxn--bcher-kva.x\x00\x50", "xn--bcher-kva.x:80", ""},
		{"trailing dot", hello + "\x05\x01\x00\x03\x0cexample.com.\x00\x50", "example.com.:80", ""},
		{"longest name", hello + "\x05\x01\x00\x03\xfd" + longest + "\x00\x50", longest + ":80", ""},
		{"an address as a name", hello + "\x05\x01\x00\x03\x09192.0.2.1\x00\x50", "192.0.2.1:80", ""},
		{"a mapped address as a name", hello + "\x05\x01\x00\x03\x10::ffff:127.0.0.1\x00\x50", "127.0.0.1:80", ""},
		{"a bracketed address as a name", hello + "\x05\x01\x00\x03\x04[::]\x00\x50", "[::]:80", ""},
		{"many methods", "\x05\xff" + strings.Repeat("\x02", 254) + "\x00" + "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", "192.0.2.1:80", ""},

		{"no method", "\x05\x00", "denied", "\x05\xff"},
		{"no method that we have", "\x05\x02\x01\x02", "denied", "\x05\xff"},
		{"SOCKS4", "\x04\x01\x00\x50\xc0\x00\x02\x01\x00", "version-unknown", ""},
		{"version 0", "\x00\x01\x00", "version-unknown", ""},
		{"TLS", "\x16\x03\x01\x02\x00", "version-unknown", ""},
		{"SOCKS4 after the greeting", hello + "\x04\x01\x00\x01\xc0\x00\x02\x01\x00\x50", "version-unknown", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"reserved byte", hello + "\x05\x01\x01\x01\xc0\x00\x02\x01\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"BIND", hello + "\x05\x02\x00\x01\xc0\x00\x02\x01\x00\x50", "command-unknown", "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"UDP ASSOCIATE", hello + "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00", "command-unknown", "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"command 9", hello + "\x05\x09\x00\x01\xc0\x00\x02\x01\x00\x50", "command-unknown", "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"address type 2", hello + "\x05\x01\x00\x02\xc0", "address-unknown", "\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"port 0", hello + "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x00", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"empty name", hello + "\x05\x01\x00\x03\x00\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"name of 255", hello + "\x05\x01\x00\x03\xff" + strings.Repeat("a.", 127) + "a\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"label of 64", hello + "\x05\x01\x00\x03\x40" + strings.Repeat("a", 64) + "\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"NUL in the name", hello + "\x05\x01\x00\x03\x03a\x00b\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"space in the name", hello + "\x05\x01\x00\x03\x03a b\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"two dots", hello + "\x05\x01\x00\x03\x04a..b\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"a dot alone", hello + "\x05\x01\x00\x03\x01.\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"127.1", hello + "\x05\x01\x00\x03\x05127.1\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"hexadecimal", hello + "\x05\x01\x00\x03\x060x7f.1\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"one hexadecimal number", hello + "\x05\x01\x00\x03\x0a0x7f000001\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"one number", hello + "\x05\x01\x00\x03\x0a2130706433\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"a zone", hello + "\x05\x01\x00\x03\x09fe80::1%e\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
		{"an open bracket", hello + "\x05\x01\x00\x03\x03[::\x00\x50", "malformed", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"},
	} {
		for _, size := range []int{1, 3, 1 << 20} {
			got := negotiate(t, c.input, size)
			answer := got.answer
			if strings.HasPrefix(c.input, hello) {
				answer, _ = strings.CutPrefix(answer, "\x05\x00")
			} else if got.done {
				answer = "" // the greeting with many methods
			}
			said := got.result.String()
			if got.done {
				said = got.req.String()
			}
			if said != c.want || answer != c.answer || got.done && got.req.Protocol != SOCKS5 {
				t.Errorf("%s, %d at a time: %+v, want %q and %q", c.name, size, got, c.want, c.answer)
			}
		}
	}
}

func TestConnect(t *testing.T) {
	const host = "Host: x\r\n\r\n"
	for _, c := range []struct{ name, input, want, answer string }{
		{"a name", "CONNECT example.com:443 HTTP/1.1\r\n" + host, "example.com:443", ""},
		{"fields", "CONNECT example.com:443 HTTP/1.1\r\nUser-Agent: curl/7\r\nContent-Length: 0\r\n" + host, "example.com:443", ""},
		{"IPv6", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n" + host, "[2001:db8::1]:443", ""},
		{"mapped", "CONNECT [::ffff:10.0.0.1]:443 HTTP/1.1\r\n" + host, "10.0.0.1:443", ""},
		{"1.0 without a host", "CONNECT 192.0.2.1:443 HTTP/1.0\r\n\r\n", "192.0.2.1:443", ""},

		{"a page's GET", "GET / HTTP/1.1\r\n" + host, "malformed", ""},
		{"a page's POST", "POST /x HTTP/1.1\r\nContent-Length: 90\r\n" + host + "CONNECT a:1 HTTP/1.1\r\n\r\n", "malformed", ""},
		{"a page's OPTIONS", "OPTIONS * HTTP/1.1\r\n" + host, "malformed", ""},
		{"small letters", "connect a:1 HTTP/1.1\r\n" + host, "malformed", ""},
		{"no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n", "malformed", ""},
		{"an endless method", strings.Repeat("A", maxMethod+1), "malformed", ""},
		{"a proxy's GET", "GET http://example.com/ HTTP/1.1\r\n" + host, "command-unknown", "HTTP/1.1 405 "},
		{"HTTP/2", "PRI x HTTP/2.0\r\n\r\n", "version-unknown", "HTTP/1.1 505 "},
		{"two parts", "CONNECT a:1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"two spaces", "CONNECT  a:1 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"no port", "CONNECT example.com HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"port 0", "CONNECT example.com:0 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"port 65536", "CONNECT example.com:65536 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"port +80", "CONNECT example.com:+80 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"a user", "CONNECT me@example.com:80 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"a zone", "CONNECT [fe80::1%25eth0]:80 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"a name in brackets", "CONNECT [example.com]:80 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"IPv4 in brackets", "CONNECT [192.0.2.1]:80 HTTP/1.1\r\n" + host, "malformed", "HTTP/1.1 400 "},
		{"no host", "CONNECT a:1 HTTP/1.1\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"two hosts", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"bare LF", "CONNECT a:1 HTTP/1.1\nHost: a\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"bare CR", "CONNECT a:1 HTTP/1.1\r\nHost: a\rb\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"NUL", "CONNECT a:1 HTTP/1.1\r\nHost: a\x00\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"a folded field", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"a space before the colon", "CONNECT a:1 HTTP/1.1\r\nHost : a\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"a body", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"two lengths", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"chunks", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed", "HTTP/1.1 400 "},
		{"many fields", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a:b\r\n", maxFields) + "\r\n", "malformed", "HTTP/1.1 400 "},
		{"a head of 1 MiB", "CONNECT a:1 HTTP/1.1\r\nHost: " + strings.Repeat("a", 1<<20), "too-long", "HTTP/1.1 431 "},
		{"a long head that ends", "CONNECT a:1 HTTP/1.1\r\nHost: " + strings.Repeat("a", MaxHead) + "\r\n\r\n", "too-long", "HTTP/1.1 431 "},
	} {
		for _, size := range []int{1, 7, 1 << 21} {
			got := negotiate(t, c.input, size)
			said := got.result.String()
			if got.done {
				said = got.req.String()
			}
			if said != c.want || !strings.HasPrefix(got.answer, c.answer) || (got.answer == "") != (c.answer == "") {
				t.Errorf("%s, %d at a time: %+v, want %q and %q", c.name, size, got, c.want, c.answer)
			}
		}
	}
}

// What is not whole is waited for; what comes behind a request is kept in SOCKS5,
// whose messages say how long they are, and refused in HTTP.
func TestPartsAndMore(t *testing.T) {
	socks := hello + "\x05\x01\x00\x03\x0bexample.com\x00\x50"
	for i := range len(socks) {
		if got := negotiate(t, socks[:i], 1<<10); got.done || got.result != Granted {
			t.Errorf("after %d bytes: %+v", i, got)
		}
	}
	if got := negotiate(t, socks+"first bytes", 1<<10); !got.done || got.early != "first bytes" {
		t.Errorf("got %+v", got)
	}
	http := "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"
	for i := range len(http) {
		if got := negotiate(t, http[:i], 1<<10); got.done || got.result != Granted {
			t.Errorf("after %d bytes: %+v", i, got)
		}
	}
	if got := negotiate(t, http+"GET / HTTP/1.1\r\n\r\n", 1<<10); got.done || got.result != Malformed {
		t.Errorf("got %+v", got)
	}
}

// After its end a negotiation takes nothing.
func TestTakeAfterTheEnd(t *testing.T) {
	var n Negotiation
	if _, _, err := n.Take([]byte{4}); err == nil {
		t.Fatal("SOCKS4 was taken")
	}
	if answer, done, err := n.Take([]byte(hello)); answer != nil || done || err == nil || n.Early() != nil {
		t.Errorf("after an error: %q, %v, %v", answer, done, err)
	}
	n = Negotiation{}
	if _, done, err := n.Take([]byte(hello + "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50")); !done || err != nil || n.Protocol() != SOCKS5 {
		t.Fatal(done, err)
	}
	if answer, done, err := n.Take([]byte("x")); answer != nil || !done || err != nil || len(n.Early()) != 0 {
		t.Errorf("after a request: %q, %v, %v", answer, done, err)
	}
}

func TestAnswers(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("198.18.0.2:4660"), netip.MustParseAddrPort("[fd00::2]:80")
	for _, c := range []struct {
		p     Protocol
		r     Result
		bound netip.AddrPort
		want  string
	}{
		{SOCKS5, Granted, v4, "\x05\x00\x00\x01\xc6\x12\x00\x02\x12\x34"},
		{SOCKS5, Granted, v6, "\x05\x00\x00\x04\xfd" + strings.Repeat("\x00", 14) + "\x02\x00\x50"},
		{SOCKS5, Refused, netip.AddrPort{}, "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"},
		{HTTP, Granted, v4, "HTTP/1.1 200 Connection established\r\n\r\n"},
		{HTTP, TimedOut, v4, "HTTP/1.1 504 Gateway Timeout\r\n"},
		{HTTP, CommandUnknown, v4, "HTTP/1.1 405 Method Not Allowed\r\n"},
		{0, Failed, v4, ""},
	} {
		if got := c.p.Answer(c.r, c.bound, "why"); !strings.HasPrefix(string(got), c.want) || (len(got) == 0) != (c.want == "") {
			t.Errorf("%v, %v: %q, want %q", c.p, c.r, got, c.want)
		}
	}
	if got := HTTP.Answer(CommandUnknown, v4, ""); !bytes.Contains(got, []byte("\r\nAllow: CONNECT\r\n")) {
		t.Errorf("got %q", got)
	}
	for r := range Results {
		if r.String() == "" || r != Granted && (resultTable[r].reply == 0 || resultTable[r].status < 400) {
			t.Errorf("result %d: %+v", r, resultTable[r])
		}
	}
	if Results.String() != "unknown" || Protocol(9).String() != "unknown" || ResultOf(errors.New("x")) != Failed {
		t.Error("what is unknown has another name")
	}
}
