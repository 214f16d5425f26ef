package proxy

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/netip"
)

// Result is how a request ended.
type Result uint8

// The results.
const (
	Granted Result = iota
	Failed
	Denied
	NetworkUnreachable
	HostUnreachable
	NameUnknown
	Refused
	TimedOut
	Busy
	CommandUnknown
	AddressUnknown
	Malformed
	VersionUnknown
	TooLong

	Results // how many there are
)

// resultTable has the code of each result: the REP of RFC 1928 §6, and the status
// of RFC 9110 §15.
var resultTable = [Results]struct {
	name   string
	reply  byte
	status int
}{
	Granted:            {"granted", 0, http.StatusOK},
	Failed:             {"failed", 1, http.StatusBadGateway},
	Denied:             {"denied", 2, http.StatusForbidden},
	NetworkUnreachable: {"network-unreachable", 3, http.StatusBadGateway},
	HostUnreachable:    {"host-unreachable", 4, http.StatusBadGateway},
	NameUnknown:        {"name-unknown", 4, http.StatusBadGateway},
	Refused:            {"refused", 5, http.StatusBadGateway},
	TimedOut:           {"timed-out", 4, http.StatusGatewayTimeout},
	Busy:               {"busy", 1, http.StatusServiceUnavailable},
	CommandUnknown:     {"command-unknown", 7, http.StatusMethodNotAllowed},
	AddressUnknown:     {"address-unknown", 8, http.StatusBadRequest},
	Malformed:          {"malformed", 1, http.StatusBadRequest},
	VersionUnknown:     {"version-unknown", 1, http.StatusHTTPVersionNotSupported},
	TooLong:            {"too-long", 1, http.StatusRequestHeaderFieldsTooLarge},
}

// String names the result as in logs and metrics.
func (r Result) String() string {
	if r >= Results {
		return "unknown"
	}
	return resultTable[r].name
}

// Answer is what the client of a protocol is told: a result and, in SOCKS5, the
// address that the connection has on this side, if it is known. why is added for
// people where the protocol has room for it.
func (p Protocol) Answer(r Result, bound netip.AddrPort, why string) []byte {
	code := resultTable[r]
	switch p {
	case SOCKS5:
		return socksReply(code.reply, bound)
	case HTTP:
		return httpReply(r, code.status, why)
	}
	return nil
}

func socksReply(code byte, bound netip.AddrPort) []byte {
	addr := bound.Addr()
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	kind := byte(atypIPv4)
	if addr.Is6() {
		kind = atypIPv6
	}
	b := append([]byte{socksVersion, code, 0, kind}, addr.AsSlice()...)
	return binary.BigEndian.AppendUint16(b, bound.Port())
}

func httpReply(r Result, status int, why string) []byte {
	if r == Granted {
		return []byte("HTTP/1.1 200 Connection established\r\n\r\n")
	}
	text := r.String()
	if why != "" {
		text += ": " + why
	}
	allow := ""
	if r == CommandUnknown {
		allow = "Allow: CONNECT\r\n"
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), len(text)+1, allow, text)
}
