package proxy

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Protocol is how a client speaks.
type Protocol uint8

// The protocols.
const (
	SOCKS5 Protocol = iota + 1
	HTTP
)

// String names the protocol as in logs and metrics.
func (p Protocol) String() string {
	switch p {
	case SOCKS5:
		return "socks5"
	case HTTP:
		return "http"
	}
	return "unknown"
}

// Request is what a client asks for: a TCP connection to a host's port.
type Request struct {
	Protocol Protocol
	Target
}

// Target is a host, by name or by address, and a port from 1 to 65535.
type Target struct {
	// Name is a host's name in ASCII; empty if there is an address.
	Name string
	// Addr is an address: never one of IPv4 in the form of IPv6, and without a
	// zone.
	Addr netip.Addr
	Port uint16
}

// String is the target as HOST:PORT.
func (t Target) String() string {
	host := t.Name
	if host == "" {
		host = t.Addr.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(int(t.Port)))
}

// ParseTarget reads HOST:PORT, as CONNECT has it.
func ParseTarget(text string) (Target, error) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return Target{}, errors.New("it is not HOST:PORT")
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || port == 0 || digits[0] == '+' {
		return Target{}, errors.New("its port is not a number from 1 to 65535")
	}
	if strings.HasPrefix(text, "[") {
		host = "[" + host + "]"
	}
	return makeTarget(host, uint16(port))
}

// makeTarget sorts a host's text into addresses and names. What a resolver might
// take for an address although it is not written as one is neither.
func makeTarget(host string, port uint16) (Target, error) {
	if port == 0 {
		return Target{}, errors.New("port 0 cannot be connected to")
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return Target{}, errors.New("the bracket of its address is not closed")
		}
	}
	if addr, err := netip.ParseAddr(inner); err == nil {
		if addr.Zone() != "" {
			return Target{}, errors.New("its address has a zone, which means nothing to the stack")
		}
		if bracketed && addr.Is4() {
			return Target{}, errors.New("an IPv4 address stands without brackets")
		}
		return Target{Addr: addr.Unmap(), Port: port}, nil
	}
	if bracketed {
		return Target{}, errors.New("there is no IPv6 address in the brackets")
	}
	if err := checkName(host); err != nil {
		return Target{}, err
	}
	return Target{Name: host, Port: port}, nil
}

// The limits of names in bytes, RFC 1035 §2.3.4, without the root's dot.
const (
	maxName  = 253
	maxLabel = 63
)

// checkName refuses what is no host's name. An underscore is let through: there
// are such names, and resolvers know them.
func checkName(name string) error {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > maxName {
		return errors.New("a host's name has 1 to 253 bytes")
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return errors.New("a part of a host's name has 1 to 63 bytes")
		}
		for _, c := range []byte(label) {
			if !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
				return errors.New("a host's name has letters, digits and hyphens of ASCII (others in punycode)")
			}
		}
		last = label
	}
	if numeric(last) {
		return errors.New("it ends in a number, and is no address in its usual form")
	}
	return nil
}

// numeric says whether inet_aton of some C library would take a name that ends
// in this label for an address.
func numeric(label string) bool {
	if isDigit(label[0]) && len(label) > 1 && (label[1] == 'x' || label[1] == 'X') {
		return true
	}
	return strings.Trim(label, "0123456789") == ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
