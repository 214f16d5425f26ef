package capture

import (
	"encoding/binary"
	"runtime"
	"time"
)

// The blocks and options of a pcapng file that are written here
// (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6

	optEnd        = 0
	optComment    = 1
	optHardware   = 2 // of a section
	optOS         = 3
	optApp        = 4
	optName       = 2 // of an interface
	optResolution = 9
	optIfOS       = 12
	optFlags      = 2 // of a packet

	byteOrderMagic = 0x1a2b3c4d
	linkTypeRaw    = 101
	nanoseconds    = 9 // as a power of ten

	flagInbound, flagOutbound = 1, 2

	// maxComment is what an option can hold.
	maxComment = 65535
)

// block appends a block to b; fill appends its body.
func block(b []byte, kind uint32, fill func([]byte) []byte) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(b, kind)
	b = binary.LittleEndian.AppendUint32(b, 0) // the length, when it is known
	b = pad(fill(b), at)
	size := uint32(len(b) - at + 4)
	binary.LittleEndian.PutUint32(b[at+4:], size)
	return binary.LittleEndian.AppendUint32(b, size)
}

// pad fills up to a multiple of four bytes from at on.
func pad(b []byte, at int) []byte {
	for (len(b)-at)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func option(b []byte, code uint16, value string) []byte {
	value = value[:min(len(value), maxComment)]
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	at := len(b)
	return pad(append(b, value...), at)
}

func endOptions(b []byte) []byte { return append(b, optEnd, 0, 0, 0) }

// appendHeader appends what a file begins with: a section and its one interface.
func appendHeader(b []byte, name string) []byte {
	b = block(b, blockSection, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
		b = binary.LittleEndian.AppendUint16(b, 1) // version 1.0
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint64(b, ^uint64(0)) // the section's length: not known
		b = option(b, optHardware, runtime.GOARCH)
		b = option(b, optOS, runtime.GOOS)
		b = option(b, optApp, "wskstack")
		return endOptions(b)
	})
	return block(b, blockInterface, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint16(b, linkTypeRaw)
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint32(b, 0) // packets are whole, whatever their size
		b = option(b, optName, name)
		b = option(b, optIfOS, runtime.GOOS)
		b = option(b, optResolution, string(rune(nanoseconds)))
		return endOptions(b)
	})
}

// appendPacket appends a packet.
func appendPacket(b []byte, at time.Time, inbound bool, packet []byte, comments []string) []byte {
	return block(b, blockPacket, func(b []byte) []byte {
		stamp := uint64(at.UnixNano())
		b = binary.LittleEndian.AppendUint32(b, 0) // the interface
		b = binary.LittleEndian.AppendUint32(b, uint32(stamp>>32))
		b = binary.LittleEndian.AppendUint32(b, uint32(stamp))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
		from := len(b)
		b = pad(append(b, packet...), from)
		for _, c := range comments {
			b = option(b, optComment, c)
		}
		direction := byte(flagOutbound)
		if inbound {
			direction = flagInbound
		}
		b = option(b, optFlags, string([]byte{direction, 0, 0, 0}))
		return endOptions(b)
	})
}
