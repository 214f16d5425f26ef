package fastopen_test

import (
	"github.com/wskstack/wskstack/stack/seg"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// unreachable is a router's word that it knows no way to a segment's receiver.
func unreachable(s seg.Segment) []byte {
	if s.IPv6() {
		b := icmp6(s.Bytes(), 0)
		m := header.ICMPv6(b[header.IPv6MinimumSize:])
		m.SetType(header.ICMPv6DstUnreachable)
		m.SetCode(header.ICMPv6NetworkUnreachable)
		ip := header.IPv6(b)
		m.SetChecksum(0)
		m.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: m, Src: ip.SourceAddress(), Dst: ip.DestinationAddress()}))
		return b
	}
	b := icmp4(s.Bytes(), 0)
	m := header.ICMPv4(b[header.IPv4MinimumSize:])
	m.SetCode(header.ICMPv4HostUnreachable)
	m.SetChecksum(0)
	m.SetChecksum(^checksum.Checksum(m, 0))
	return b
}
