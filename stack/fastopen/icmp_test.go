package fastopen_test

import (
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// icmp4 is a router's word that a packet does not fit.
func icmp4(quoted []byte, mtu int) []byte {
	quoted = quoted[:min(len(quoted), 28)]
	b := make([]byte, header.IPv4MinimumSize+header.ICMPv4MinimumSize+len(quoted))
	ip := header.IPv4(b)
	router := tcpip.AddrFrom4([4]byte{203, 0, 113, 1})
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber),
		SrcAddr: router, DstAddr: header.IPv4(quoted).SourceAddress()})
	ip.SetChecksum(^ip.CalculateChecksum())
	m := header.ICMPv4(ip.Payload())
	m.SetType(header.ICMPv4DstUnreachable)
	m.SetCode(header.ICMPv4FragmentationNeeded)
	m.SetMTU(uint16(mtu))
	copy(m.Payload(), quoted)
	m.SetChecksum(^checksum.Checksum(m, 0))
	return b
}

func icmp6(quoted []byte, mtu int) []byte {
	b := make([]byte, header.IPv6MinimumSize+header.ICMPv6PacketTooBigMinimumSize+len(quoted))
	ip := header.IPv6(b)
	router := tcpip.AddrFromSlice([]byte{0x20, 1, 0xd, 0xb8, 15: 9})
	dst := header.IPv6(quoted).SourceAddress()
	ip.Encode(&header.IPv6Fields{PayloadLength: uint16(len(b) - header.IPv6MinimumSize),
		TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 64, SrcAddr: router, DstAddr: dst})
	m := header.ICMPv6(ip.Payload())
	m.SetType(header.ICMPv6PacketTooBig)
	m.SetMTU(uint32(mtu))
	copy(m.Payload(), quoted)
	m.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: m, Src: router, Dst: dst}))
	return b
}
