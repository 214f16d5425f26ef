// Package ippkt holds what every packet device of this module checks in the
// same way: whether the bytes that arrived are a whole IP packet, and whether a
// packet handed over for writing is one that the device can take. It is
// shared by tun and tun/tuntest, so that the double refuses what the real device
// refuses.
package ippkt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// MaxViews is the largest number of pieces one packet may consist of: the
// kernel's limit for one readv or writev (UIO_MAXIOV), less the spill buffer and
// the virtio_net header.
const MaxViews = 1022

// MaxSize is the largest IP packet without jumbo payload, in bytes.
const MaxSize = 65535

// Shortest headers, in bytes: RFC 791 §3.1, RFC 8200 §3.
const (
	minIPv4 = 20
	minIPv6 = 40
)

// nextHeaderHopByHop announces the options that may carry a jumbo payload
// length (RFC 2675 §3), the one case in which a payload length of 0 is no lie.
const nextHeaderHopByHop = 0

// ErrOffload is returned for a packet with offload facts that the device did
// not offer.
var ErrOffload = errors.New("the device does not do this offload: write what Offloads says, ordinary packets with complete checksums otherwise")

// ErrPacket is returned for a packet that is not well formed as a frame.Packet.
var ErrPacket = errors.New("not a valid packet")

// Verdict says what Inspect found.
type Verdict uint8

// The verdicts.
const (
	// Whole: an IP header is there, and just the bytes that it announces.
	Whole Verdict = iota
	// Padded: whole, with bytes behind it. No fault in an ordinary packet.
	Padded
	// Truncated: the header announces more bytes than there are.
	Truncated
	// Malformed: neither an IPv4 nor an IPv6 header.
	Malformed
)

// Capacity is the room in views, in bytes.
func Capacity(views [][]byte) int {
	n := 0
	for _, v := range views {
		n += len(v)
	}
	return n
}

// Inspect judges the packet in the first n bytes of views. It asks only whether
// the packet is whole; whether it makes sense is for the stack to say.
func Inspect(views [][]byte, n int) Verdict {
	var head [8]byte
	if gather(head[:], views, n) == 0 {
		return Malformed
	}
	switch head[0] >> 4 {
	case 4:
		if n < minIPv4 {
			return Malformed
		}
		return compare(int(binary.BigEndian.Uint16(head[2:])), n)
	case 6:
		if n < minIPv6 {
			return Malformed
		}
		payload := int(binary.BigEndian.Uint16(head[4:]))
		if payload == 0 && head[6] == nextHeaderHopByHop {
			return Whole
		}
		return compare(minIPv6+payload, n)
	}
	return Malformed
}

func compare(announced, there int) Verdict {
	switch {
	case announced > there:
		return Truncated
	case announced < there:
		return Padded
	}
	return Whole
}

// First is the first byte of a packet, 0 if it has none.
func First(views [][]byte) byte {
	for _, v := range views {
		if len(v) > 0 {
			return v[0]
		}
	}
	return 0
}

// gather copies the first bytes of views, n at most, into dst and reports how
// many it copied.
func gather(dst []byte, views [][]byte, n int) int {
	dst = dst[:min(len(dst), max(n, 0))]
	got := 0
	for _, v := range views {
		got += copy(dst[got:], v)
	}
	return got
}

// Scatter copies src into views in their order and reports how many bytes fitted.
func Scatter(views [][]byte, src []byte) int {
	done := 0
	for _, v := range views {
		done += copy(v, src[done:])
	}
	return done
}

// CheckWrite says why a device with the given offers cannot take p, or nil.
func CheckWrite(p *frame.Packet, offers frame.Offloads) error {
	if err := checkOffload(p, offers); err != nil {
		return err
	}
	if len(p.Views) > MaxViews {
		return fmt.Errorf("%w: %d views, the kernel takes %d at most", ErrPacket, len(p.Views), MaxViews)
	}
	size := Capacity(p.Views)
	if size != p.Size {
		return fmt.Errorf("%w: Size is %d, its views hold %d bytes", ErrPacket, p.Size, size)
	}
	if size == 0 || size > MaxSize {
		return fmt.Errorf("%w: %d bytes, a packet has 1 to %d", ErrPacket, size, MaxSize)
	}
	return nil
}

// checkOffload refuses facts that the device did not offer to take, and facts
// that contradict the packet.
func checkOffload(p *frame.Packet, offers frame.Offloads) error {
	o, size := &p.Offload, p.Size
	switch {
	case o.Checksum > frame.ChecksumValid:
		return fmt.Errorf("%w (unknown checksum state %d)", ErrOffload, o.Checksum)
	case o.Checksum == frame.ChecksumPartial && !offers.Checksum,
		o.GSO != frame.GSONone && !offers.Takes(o.GSO):
		return fmt.Errorf("%w (GSO %d, checksum state %d)", ErrOffload, o.GSO, o.Checksum)
	case o.Checksum == frame.ChecksumPartial && int(o.CsumStart)+int(o.CsumOffset)+2 > size:
		return fmt.Errorf("%w: the checksum's place, %d+%d, is outside its %d bytes", ErrPacket, o.CsumStart, o.CsumOffset, size)
	case o.GSO == frame.GSONone:
		return nil
	case o.GSOSize == 0 || int(o.HdrLen) >= size:
		return fmt.Errorf("%w: a super-segment of %d bytes cannot be cut by %d behind %d bytes of headers", ErrPacket, size, o.GSOSize, o.HdrLen)
	case o.Checksum != frame.ChecksumPartial:
		return fmt.Errorf("%w: a super-segment needs a partial checksum", ErrPacket)
	}
	switch version := First(p.Views) >> 4; {
	case o.GSO == frame.GSOTCPv4 && version != 4, o.GSO == frame.GSOTCPv6 && version != 6:
		return fmt.Errorf("%w: a super-segment of the kind %d has the IP version %d", ErrPacket, o.GSO, version)
	}
	if Inspect(p.Views, size) != Whole {
		return fmt.Errorf("%w: the IP header of a super-segment of %d bytes announces another length", ErrPacket, size)
	}
	return nil
}
