package proxy

import (
	"bytes"
	"net/netip"
	"strings"
)

const (
	methodConnect = "CONNECT"
	// maxMethod and maxFields bound the method's bytes and the header's lines.
	maxMethod = 32
	maxFields = 100
)

// head is the head of a request, RFC 9112 §2.1: a line and fields, up to an empty
// line. No body may follow, and nothing else.
func head(n *Negotiation) progress {
	if p := method(n.buf); p.err != nil {
		return p
	}
	end := bytes.Index(n.buf, []byte("\r\n\r\n"))
	if end > MaxHead || end < 0 && len(n.buf) > MaxHead {
		return httpRefusal(TooLong, "the client's request is too long")
	}
	if end < 0 {
		return progress{}
	}
	lines := strings.Split(string(n.buf[:end]), "\r\n")
	if strings.ContainsAny(string(n.buf[:end]), "\x00") || strings.ContainsAny(strings.Join(lines, ""), "\r\n") {
		return httpRefusal(Malformed, "the client's request has a line that ends in other bytes than CR LF")
	}
	target, p := requestLine(lines[0])
	if p.err != nil {
		return p
	}
	if why := fields(lines[1:], strings.HasSuffix(lines[0], "1.1")); why != "" {
		return httpRefusal(Malformed, why)
	}
	used := end + 4
	if len(n.buf) > used {
		return httpRefusal(Malformed, "the client has sent more than its request before it was answered")
	}
	n.req.Target = target
	return progress{used: used, done: true}
}

// method ends what is not for a proxy as soon as that can be seen, without a
// word: a web page that sends its browser here must not learn who answers.
func method(b []byte) progress {
	name, target, whole := bytes.Cut(b[:min(len(b), MaxHead)], []byte(" "))
	for _, c := range name {
		if c < 'A' || c > 'Z' {
			return silence("the client's request does not begin with a method of HTTP")
		}
	}
	switch {
	case len(name) > maxMethod:
		return silence("the client's method is none of HTTP's")
	case whole && len(target) > 0 && (target[0] == '/' || target[0] == '*'):
		return silence("the client takes this proxy for a web server")
	}
	return progress{}
}

func silence(text string) progress { return progress{err: &refusal{Malformed, text}} }

// requestLine is RFC 9112 §3 with the authority form, §3.2.3.
func requestLine(line string) (Target, progress) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 {
		return Target{}, httpRefusal(Malformed, "the client's request line has not three parts")
	}
	switch {
	case parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0":
		return Target{}, httpRefusal(VersionUnknown, "the client's request is of another version than HTTP/1.1 or 1.0")
	case parts[0] != methodConnect:
		return Target{}, httpRefusal(CommandUnknown, "this proxy has the method CONNECT only (curl: --proxytunnel)")
	}
	target, err := ParseTarget(parts[1])
	if err != nil {
		return Target{}, httpRefusal(Malformed, "the client's target cannot be: "+err.Error())
	}
	return target, progress{}
}

// fields says what is wrong with the header's fields, RFC 9112 §5; "" if nothing
// is. What they say is of no interest, but for a body, which CONNECT has not.
func fields(lines []string, needsHost bool) (why string) {
	hosts, lengths := 0, 0
	if len(lines) > maxFields {
		return "the client's request has too many header fields"
	}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return "the client's request has a malformed header field"
		}
		switch strings.ToLower(name) {
		case "host":
			hosts++
		case "content-length":
			lengths++
			if strings.Trim(value, " \t") != "0" {
				return "the client's CONNECT has a body"
			}
		case "transfer-encoding":
			return "the client's CONNECT has a body"
		}
	}
	switch {
	case hosts > 1, needsHost && hosts == 0:
		return "the client's request has not one Host field"
	case lengths > 1:
		return "the client's request has more than one Content-Length field"
	}
	return ""
}

// isToken is RFC 9110 §5.6.2.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if !isLetter(c) && !isDigit(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// isFieldValue is RFC 9110 §5.5.
func isFieldValue(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func httpRefusal(r Result, text string) progress {
	return progress{answer: HTTP.Answer(r, netip.AddrPort{}, text), err: &refusal{r, text}}
}
