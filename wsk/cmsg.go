package wsk

import (
	"encoding/binary"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Control messages have the form of 64-bit Windows (CMSGHDR): an u64 with the length
// of header and data, an i32 level and an i32 type, then the data; the next one
// begins at a multiple of 8 bytes. All is little-endian, addresses are in network
// order.
const (
	cmsgHeader = 16 // bytes
	cmsgAlign  = 8  // bytes
)

// AppendControlMessage appends a control message to a list.
func AppendControlMessage(list []byte, level, kind uint32, data []byte) []byte {
	list = append(list, make([]byte, padding(len(list)))...)
	list = binary.LittleEndian.AppendUint64(list, uint64(cmsgHeader+len(data)))
	list = binary.LittleEndian.AppendUint32(list, level)
	list = binary.LittleEndian.AppendUint32(list, kind)
	return append(list, data...)
}

func padding(n int) int { return (cmsgAlign - n%cmsgAlign) % cmsgAlign }

// sendControl reads what a sender asks for: the hop limit, 0 if nothing.
func sendControl(list []byte) (hopLimit uint8, status ntstatus.Status) {
	for len(list) > 0 {
		if len(list) < cmsgHeader {
			return 0, ntstatus.InvalidParameter
		}
		size := binary.LittleEndian.Uint64(list)
		if size < cmsgHeader || size > uint64(len(list)) {
			return 0, ntstatus.InvalidParameter
		}
		level, kind := binary.LittleEndian.Uint32(list[8:]), binary.LittleEndian.Uint32(list[12:])
		if !(level == IPPROTO_IP && (kind == IP_TTL || kind == IP_HOPLIMIT) || level == IPPROTO_IPV6 && kind == IPV6_HOPLIMIT) {
			return 0, ntstatus.NotSupported
		}
		data := list[cmsgHeader:size]
		if len(data) < 4 {
			return 0, ntstatus.InvalidParameter
		}
		value := binary.LittleEndian.Uint32(data)
		if value < 1 || value > 255 {
			return 0, ntstatus.InvalidParameter
		}
		hopLimit = uint8(value)
		list = list[min(int(size)+padding(int(size)), len(list)):]
	}
	return hopLimit, ntstatus.Success
}

// ecnBits are those of a type of service or traffic class that tell of congestion (RFC
// 3168 §5).
const ecnBits = 3

// interfaceIndex is that of the one link that a network has.
const interfaceIndex = 1

// receiveControl makes the control messages that the options ask for.
func (o options) receiveControl(r Received) []byte {
	v4 := r.To.Is4() || r.From.Addr().Is4()
	level := IPPROTO_IPV6
	if v4 {
		level = IPPROTO_IP
	}
	var list []byte
	info, hops, class, congested, classKind := o.packetInfo6, o.hopLimit6, o.class6, o.congested6, IPV6_TCLASS
	if v4 {
		info, hops, class, congested, classKind = o.packetInfo, o.hopLimit, o.class, o.congested, IP_TOS
	}
	if info && r.To.IsValid() {
		data := binary.LittleEndian.AppendUint32(append([]byte(nil), r.To.AsSlice()...), interfaceIndex)
		list = AppendControlMessage(list, level, IP_PKTINFO, data)
	}
	number := func(kind uint32, v uint8) {
		list = AppendControlMessage(list, level, kind, binary.LittleEndian.AppendUint32(nil, uint32(v)))
	}
	if hops {
		number(IP_HOPLIMIT, r.HopLimit)
	}
	if class {
		number(classKind, r.TOS)
	}
	if congested {
		number(IP_ECN, r.TOS&ecnBits)
	}
	return list
}
