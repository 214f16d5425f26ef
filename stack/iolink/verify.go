package iolink

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// sound verifies the checksums of a packet. Netstack trusts every packet of a link
// that says that it verifies, so a link over a device with offloads has to: the
// header of IPv4 in any case, TCP and UDP where the device did not vouch for them.
// What cannot be judged here (headers that make no sense, fragments, other
// protocols) is left to netstack.
//
// A fragment's transport checksum is over bytes that are not here. Linux, from
// which the packets come, has verified what it reassembles itself; what it forwards
// in pieces is trusted.
func (s *slot) sound(size int, state frame.Checksum) bool {
	trusted := state != frame.ChecksumUnknown
	if *s.byteAt(0)>>4 == header.IPv4Version {
		return s.soundIPv4(size, trusted)
	}
	return trusted || s.soundIPv6(size)
}

func (s *slot) soundIPv4(size int, trusted bool) bool {
	if size < header.IPv4MinimumSize {
		return true
	}
	ip := header.IPv4(s.views[0])
	start, end := int(ip.HeaderLength()), int(ip.TotalLength())
	if start < header.IPv4MinimumSize || start > end || end > size {
		return true
	}
	if checksum.Checksum(ip[:start], 0) != 0xffff {
		return false
	}
	if trusted || ip.More() || ip.FragmentOffset() != 0 {
		return true
	}
	return s.soundTransport(ip.Protocol(), start, end, ip.SourceAddressSlice(), ip.DestinationAddressSlice())
}

func (s *slot) soundIPv6(size int) bool {
	if size < header.IPv6MinimumSize {
		return true
	}
	ip := header.IPv6(s.views[0])
	end := header.IPv6MinimumSize + int(ip.PayloadLength())
	if end > size {
		return true
	}
	protocol, start, ok := s.transportIPv6(ip.NextHeader(), end)
	return !ok || s.soundTransport(protocol, start, end, ip.SourceAddressSlice(), ip.DestinationAddressSlice())
}

// transportIPv6 walks over the extension headers (RFC 8200 §4). ok is false if
// they do not lead to a transport header that can be judged.
func (s *slot) transportIPv6(next uint8, end int) (protocol uint8, start int, ok bool) {
	start = header.IPv6MinimumSize
	for {
		switch header.IPv6ExtensionHeaderIdentifier(next) {
		case header.IPv6HopByHopOptionsExtHdrIdentifier, header.IPv6DestinationOptionsExtHdrIdentifier:
		case header.IPv6RoutingExtHdrIdentifier:
			if start+4 > end || *s.byteAt(start + 3) != 0 {
				return 0, 0, false // the sum is over another destination
			}
		case header.IPv6FragmentExtHdrIdentifier:
			if start+8 > end || *s.byteAt(start + 2) != 0 || *s.byteAt(start + 3)&0xf9 != 0 {
				return 0, 0, false
			}
			next, start = *s.byteAt(start), start+8
			continue
		default:
			return next, start, true
		}
		if start+2 > end {
			return 0, 0, false
		}
		next, start = *s.byteAt(start), start+8*(int(*s.byteAt(start + 1))+1)
	}
}

func (s *slot) soundTransport(protocol uint8, start, end int, src, dst []byte) bool {
	switch protocol {
	case uint8(header.TCPProtocolNumber):
	case uint8(header.UDPProtocolNumber):
		if end-start < header.UDPMinimumSize {
			return true
		}
		hi, lo := s.at(start + udpChecksumOffset)
		if *hi == 0 && *lo == 0 {
			return len(src) == header.IPv4AddressSize // RFC 768: none; RFC 8200 §8.1: discard
		}
		// The sum is over the length that UDP says, which may be less than IP's.
		hi, lo = s.at(start + 4)
		end = min(end, start+int(binary.BigEndian.Uint16([]byte{*hi, *lo})))
	default:
		return true
	}
	var sum checksum.Checksumer
	s.each(start, end, sum.Add)
	return checksum.Combine(sum.Checksum(), pseudo(src, dst, protocol, end-start)) == 0xffff
}
