// Package vnet reads and writes the header that a TUN with IFF_VNET_HDR puts
// before each packet: struct virtio_net_hdr of include/uapi/linux/virtio_net.h,
// ten bytes in the host's byte order. It is pure: bytes in, offload facts out.
//
// A header that contradicts its packet is refused as a whole. Nothing in it is
// corrected or ignored, since whoever uses a wrong offset or size later has no
// way to see that it is wrong.
package vnet

import (
	"encoding/binary"
	"errors"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// Size is the length of a header in bytes.
const Size = 10

// Flags and kinds of super-segment, as Linux numbers them.
const (
	flagNeedsCsum = 1
	flagDataValid = 2

	gsoNone  = 0
	gsoTCPv4 = 1
	gsoTCPv6 = 4
	gsoUDPL4 = 5
)

// Shortest headers, in bytes.
const (
	minIPv4 = 20
	minIPv6 = 40
)

// The ways in which a header can contradict its packet.
var (
	ErrKind     = errors.New("unknown kind of super-segment")
	ErrVersion  = errors.New("the kind of super-segment does not fit the IP version")
	ErrSize     = errors.New("a super-segment with segments of no bytes")
	ErrHeader   = errors.New("the headers are longer than the packet")
	ErrChecksum = errors.New("the checksum's place is outside the packet, or in the IP header")
	ErrFinished = errors.New("a super-segment whose checksum is finished already")
	// ErrLength is for the caller to find, which knows the IP header.
	ErrLength = errors.New("a super-segment of another length than its IP header announces")
)

// Decode reads the header of a packet of size bytes whose first byte is first.
// Precondition: len(h) >= Size.
func Decode(h []byte, first byte, size int) (frame.Offload, error) {
	o := frame.Offload{
		HdrLen:     binary.NativeEndian.Uint16(h[2:]),
		GSOSize:    binary.NativeEndian.Uint16(h[4:]),
		CsumStart:  binary.NativeEndian.Uint16(h[6:]),
		CsumOffset: binary.NativeEndian.Uint16(h[8:]),
	}
	switch {
	case h[0]&flagNeedsCsum != 0:
		o.Checksum = frame.ChecksumPartial
	case h[0]&flagDataValid != 0:
		o.Checksum = frame.ChecksumValid
	}
	var err error
	if o.GSO, err = kind(h[1], first>>4); err != nil {
		return frame.Offload{}, err
	}
	if err := check(&o, first>>4, size); err != nil {
		return frame.Offload{}, err
	}
	return o, nil
}

// kind translates gso_type. The bit that says that ECN has to be kept is not
// known here: it comes only to those who asked for it (TUN_F_TSO_ECN).
func kind(gsoType, version byte) (frame.GSO, error) {
	switch gsoType {
	case gsoNone:
		return frame.GSONone, nil
	case gsoTCPv4:
		if version != 4 {
			return 0, ErrVersion
		}
		return frame.GSOTCPv4, nil
	case gsoTCPv6:
		if version != 6 {
			return 0, ErrVersion
		}
		return frame.GSOTCPv6, nil
	case gsoUDPL4:
		return frame.GSOUDP, nil
	}
	return 0, ErrKind
}

// check refuses facts that contradict the packet, and clears those that mean
// nothing.
func check(o *frame.Offload, version byte, size int) error {
	if o.Checksum == frame.ChecksumPartial {
		least := minIPv4
		if version == 6 {
			least = minIPv6
		}
		if start := int(o.CsumStart); start < least || start+int(o.CsumOffset)+2 > size {
			return ErrChecksum
		}
	} else {
		o.CsumStart, o.CsumOffset = 0, 0
	}
	if o.GSO == frame.GSONone {
		o.GSOSize, o.HdrLen = 0, 0
		return nil
	}
	switch {
	case o.GSOSize == 0:
		return ErrSize
	case int(o.HdrLen) > size:
		return ErrHeader
	case o.Checksum != frame.ChecksumPartial:
		return ErrFinished
	}
	return nil
}

// Encode writes the header that goes before a packet with the given facts.
// Precondition: len(h) >= Size, and the facts passed ippkt.CheckWrite.
func Encode(h []byte, o frame.Offload) {
	clear(h[:Size])
	switch o.Checksum {
	case frame.ChecksumPartial:
		h[0] = flagNeedsCsum
		binary.NativeEndian.PutUint16(h[6:], o.CsumStart)
		binary.NativeEndian.PutUint16(h[8:], o.CsumOffset)
	case frame.ChecksumValid:
		h[0] = flagDataValid
	}
	switch o.GSO {
	case frame.GSONone:
		return
	case frame.GSOTCPv4:
		h[1] = gsoTCPv4
	case frame.GSOTCPv6:
		h[1] = gsoTCPv6
	case frame.GSOUDP:
		h[1] = gsoUDPL4
	}
	binary.NativeEndian.PutUint16(h[2:], o.HdrLen)
	binary.NativeEndian.PutUint16(h[4:], o.GSOSize)
}
