package frame

// GSO says how a super-segment is cut into packets of the wire's size.
type GSO uint8

// The kinds of super-segment.
const (
	// GSONone marks an ordinary packet.
	GSONone GSO = iota
	// GSOTCPv4 marks a TCP super-segment over IPv4.
	GSOTCPv4
	// GSOTCPv6 marks a TCP super-segment over IPv6.
	GSOTCPv6
	// GSOUDP marks several UDP datagrams of one size, IPv4 or IPv6.
	GSOUDP
)

// Checksum says what the transport checksum in the packet is worth.
type Checksum uint8

// The states of a transport checksum.
const (
	// ChecksumUnknown: whoever takes the packet in has to verify it. On the way
	// out it means that the sum is complete, as on any wire.
	ChecksumUnknown Checksum = iota
	// ChecksumPartial: the field holds the pseudo-header's sum alone; the sum
	// over the bytes from Offload.CsumStart on is still to be added, at
	// Offload.CsumStart + Offload.CsumOffset.
	ChecksumPartial
	// ChecksumValid: the device has verified the sum.
	ChecksumValid
)

// Offload is what the device and the stack tell each other about one packet.
// The zero value is an ordinary packet with an ordinary checksum.
type Offload struct {
	GSO      GSO
	Checksum Checksum
	// GSOSize is the payload, in bytes, of each segment cut from the packet.
	GSOSize uint16
	// HdrLen is the length in bytes of the headers repeated in each segment.
	HdrLen uint16
	// CsumStart and CsumOffset place a partial checksum, in bytes from the
	// start of the packet and from CsumStart.
	CsumStart, CsumOffset uint16
}

// Packet is one IP packet, from the first byte of its IP header.
//
// For a read, Views are buffers to be filled in their order and Size is set to
// the number of bytes filled. For a write, Views are the packet's bytes and
// Size is their sum. The caller owns the buffers before and after the call; the
// device owns them during it and keeps no reference.
type Packet struct {
	Views   [][]byte
	Size    int
	Offload Offload
}

// Offloads is what a device can take and give. The zero value is a device that
// moves ordinary packets with complete checksums.
type Offloads struct {
	// Checksum: packets may be written with ChecksumPartial.
	Checksum bool
	// TSO4, TSO6, USO: super-segments of that kind may be written and are read.
	TSO4, TSO6, USO bool
	// MaxSize is the largest super-segment in bytes, IP header included.
	MaxSize int
}

// Takes says whether super-segments of kind g may be written.
func (o Offloads) Takes(g GSO) bool {
	switch g {
	case GSONone:
		return true
	case GSOTCPv4:
		return o.TSO4
	case GSOTCPv6:
		return o.TSO6
	case GSOUDP:
		return o.USO
	}
	return false
}
