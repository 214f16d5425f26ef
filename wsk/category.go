package wsk

import "github.com/wskstack/wskstack/wsk/ntstatus"

// category is what kind of socket the Flags of Socket ask for.
type category struct {
	name  string
	flag  uint32
	types map[uint16]uint32 // socket type -> protocol; anyProtocol allows all
}

// anyProtocol stands for every protocol number, as with raw sockets.
const anyProtocol = ^uint32(0)

// categoryTable is never written to.
var categoryTable = [...]category{
	{"basic", FlagBasicSocket, map[uint16]uint32{
		SOCK_STREAM: IPPROTO_TCP, SOCK_DGRAM: IPPROTO_UDP, SOCK_RAW: anyProtocol}},
	{"listening", FlagListenSocket, map[uint16]uint32{SOCK_STREAM: IPPROTO_TCP}},
	{"connection", FlagConnectionSocket, map[uint16]uint32{SOCK_STREAM: IPPROTO_TCP}},
	{"datagram", FlagDatagramSocket, map[uint16]uint32{
		SOCK_DGRAM: IPPROTO_UDP, SOCK_RAW: anyProtocol}},
	{"stream", FlagStreamSocket, map[uint16]uint32{SOCK_STREAM: IPPROTO_TCP}},
}

// connectionCategory is the category of accepted sockets.
func connectionCategory() *category {
	c, _ := findCategory(AF_INET, SOCK_STREAM, IPPROTO_TCP, FlagConnectionSocket)
	return c
}

// findCategory returns the category of a request for a socket, or why there is
// none: STATUS_INVALID_PARAMETER for flags that name no single category and for a
// type or protocol that the category does not have, STATUS_NOT_SUPPORTED for
// another family, and for raw datagram sockets of another protocol than the family's
// ICMP: netstack hands raw endpoints only what a protocol of its own is there for, and
// the others of these have sockets of their own.
func findCategory(family, socketType uint16, protocol, flags uint32) (*category, ntstatus.Status) {
	var c *category
	for i := range categoryTable {
		if categoryTable[i].flag == flags {
			c = &categoryTable[i]
		}
	}
	if c == nil {
		return nil, ntstatus.InvalidParameter
	}
	if family != AF_INET && family != AF_INET6 {
		return nil, ntstatus.NotSupported
	}
	want, ok := c.types[socketType]
	if !ok || want != anyProtocol && want != protocol {
		return nil, ntstatus.InvalidParameter
	}
	if flags == FlagDatagramSocket && socketType == SOCK_RAW && protocol != icmpOf(family) {
		return nil, ntstatus.NotSupported
	}
	return c, ntstatus.Success
}

func icmpOf(family uint16) uint32 {
	if family == AF_INET6 {
		return IPPROTO_ICMPV6
	}
	return IPPROTO_ICMP
}
