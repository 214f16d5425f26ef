package seg

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
)

// ICMPError is an ICMP error about a TCP segment: destination unreachable,
// fragmentation needed, or packet too big (RFC 792, RFC 1191, RFC 4443).
type ICMPError struct {
	// Src and Dst are those of the quoted segment, Seq its sequence number.
	Src, Dst netip.AddrPort
	Seq      seqnum.Value
	// TooBig: the quoted packet does not fit; MTU is the next hop's, 0 if the
	// router did not say. Otherwise the destination is unreachable.
	TooBig bool
	MTU    int
}

const (
	protoICMPv4 = 1
	protoICMPv6 = 58

	icmp4Unreachable = 3
	icmp4FragNeeded  = 4
	icmp6Unreachable = 1
	icmp6TooBig      = 2

	icmpHeader = 8
)

// ParseICMPError finds an ICMP error about a TCP segment in the IP packet b. It
// reports false for every other packet. The quote need hold no more than eight
// bytes of the TCP header.
func ParseICMPError(b []byte) (ICMPError, bool) {
	switch {
	case len(b) < minIPv4:
	case b[0]>>4 == 4:
		return parseICMP4(b)
	case b[0]>>4 == 6 && len(b) >= minIPv6+icmpHeader && b[6] == protoICMPv6:
		return parseICMP6(b[minIPv6:])
	}
	return ICMPError{}, false
}

func parseICMP4(b []byte) (ICMPError, bool) {
	ihl := int(b[0]&0xf) * 4
	if ihl < minIPv4 || len(b) < ihl+icmpHeader || b[9] != protoICMPv4 ||
		binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
		return ICMPError{}, false
	}
	m, q := b[ihl:], b[ihl+icmpHeader:]
	if m[0] != icmp4Unreachable || len(q) < minIPv4 || q[0]>>4 != 4 || q[9] != protoTCP ||
		binary.BigEndian.Uint16(q[6:])&0x1fff != 0 {
		return ICMPError{}, false
	}
	tcp := int(q[0]&0xf) * 4
	if tcp < minIPv4 || len(q) < tcp+8 {
		return ICMPError{}, false
	}
	e := ICMPError{TooBig: m[1] == icmp4FragNeeded}
	if e.TooBig {
		e.MTU = int(binary.BigEndian.Uint16(m[6:]))
	}
	e.quote(netip.AddrFrom4([4]byte(q[12:])), netip.AddrFrom4([4]byte(q[16:])), q[tcp:])
	return e, true
}

func parseICMP6(m []byte) (ICMPError, bool) {
	q := m[icmpHeader:]
	if m[0] != icmp6Unreachable && m[0] != icmp6TooBig ||
		len(q) < minIPv6+8 || q[0]>>4 != 6 || q[6] != protoTCP {
		return ICMPError{}, false
	}
	e := ICMPError{TooBig: m[0] == icmp6TooBig}
	if e.TooBig {
		e.MTU = int(min(binary.BigEndian.Uint32(m[4:]), 65535))
	}
	e.quote(netip.AddrFrom16([16]byte(q[8:])), netip.AddrFrom16([16]byte(q[24:])), q[minIPv6:])
	return e, true
}

func (e *ICMPError) quote(src, dst netip.Addr, tcp []byte) {
	e.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp))
	e.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:]))
	e.Seq = seqnum.Value(binary.BigEndian.Uint32(tcp[4:]))
}

// VerifyICMP reports whether the checksum of the ICMP message in the IP packet b
// is right. It is meant for packets in which ParseICMPError found an error.
func VerifyICMP(b []byte) bool {
	if b[0]>>4 == 4 {
		ihl, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
		if total < ihl || total > len(b) {
			return false
		}
		return checksum.Checksum(b[ihl:total], 0) == 0xffff
	}
	n := int(binary.BigEndian.Uint16(b[4:]))
	if minIPv6+n > len(b) {
		return false
	}
	tail := [4]byte{byte(n >> 8), byte(n), 0, protoICMPv6}
	pseudo := checksum.Checksum(tail[:], checksum.Checksum(b[8:40], 0))
	return checksum.Checksum(b[minIPv6:minIPv6+n], pseudo) == 0xffff
}
