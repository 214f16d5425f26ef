package proxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// Of RFC 1928 §3 to §6.
const (
	socksVersion = 5

	methodNone         = 0x00
	methodUnacceptable = 0xff

	cmdConnect      = 1
	cmdBind         = 2
	cmdUDPAssociate = 3

	atypIPv4   = 1
	atypDomain = 3
	atypIPv6   = 4
)

// greeting is VER, NMETHODS and the methods, RFC 1928 §3.
func greeting(n *Negotiation) progress {
	if len(n.buf) < 2 || len(n.buf) < 2+int(n.buf[1]) {
		return progress{}
	}
	used := 2 + int(n.buf[1])
	if bytes.IndexByte(n.buf[2:used], methodNone) < 0 {
		return progress{
			answer: []byte{socksVersion, methodUnacceptable},
			err:    &refusal{Denied, "the client offers no method of authentication that this proxy has: it has 'none' only"},
		}
	}
	return progress{used: used, answer: []byte{socksVersion, methodNone}, next: socksRequest}
}

// socksRequest is VER, CMD, RSV, ATYP, DST.ADDR and DST.PORT, RFC 1928 §4.
func socksRequest(n *Negotiation) progress {
	if len(n.buf) < 5 {
		return progress{}
	}
	const fixed = 4
	length := 0 // of DST.ADDR
	switch n.buf[3] {
	case atypIPv4:
		length = 4
	case atypIPv6:
		length = 16
	case atypDomain:
		length = 1 + int(n.buf[4])
	default:
		return socksRefusal(AddressUnknown, "the client's kind of address is not one of SOCKS5")
	}
	used := fixed + length + 2
	if len(n.buf) < used {
		return progress{}
	}
	switch {
	case n.buf[0] != socksVersion:
		return socksRefusal(VersionUnknown, "the client's request is not of SOCKS5 as its greeting was")
	case n.buf[2] != 0:
		return socksRefusal(Malformed, "the reserved byte of the client's request is not 0")
	case n.buf[1] == cmdBind, n.buf[1] == cmdUDPAssociate:
		return socksRefusal(CommandUnknown, "the client asks for BIND or UDP ASSOCIATE: this proxy has CONNECT only")
	case n.buf[1] != cmdConnect:
		return socksRefusal(CommandUnknown, "the client's command is not one of SOCKS5")
	}
	target, err := socksTarget(n.buf[3], n.buf[fixed:fixed+length], binary.BigEndian.Uint16(n.buf[used-2:]))
	if err != nil {
		return socksRefusal(Malformed, "the client's target cannot be: "+err.Error())
	}
	n.req.Target = target
	return progress{used: used, done: true}
}

func socksTarget(kind byte, addr []byte, port uint16) (Target, error) {
	if kind == atypDomain {
		return makeTarget(string(addr[1:]), port)
	}
	a, _ := netip.AddrFromSlice(addr) // its length is right
	return makeTarget(a.String(), port)
}

func socksRefusal(r Result, text string) progress {
	return progress{answer: SOCKS5.Answer(r, netip.AddrPort{}, ""), err: &refusal{r, text}}
}
