package wsk

import (
	"encoding/binary"
	"net/netip"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// membership is the options that join and leave a multicast group; ok is false if it is
// another option. Precondition: f.mu is held.
func (f *flow) membership(what ControlType, level, code uint32, input []byte) (status ntstatus.Status, ok bool) {
	v6 := level == IPPROTO_IPV6
	join := code == IP_ADD_MEMBERSHIP
	if level != IPPROTO_IP && !v6 || !join && code != IP_DROP_MEMBERSHIP {
		return 0, false
	}
	if what != SetOption || f.datagram == nil || v6 && f.family != AF_INET6 || !v6 && f.family != AF_INET {
		return ntstatus.NotSupported, true
	}
	group, status := f.group(v6, input)
	if status != ntstatus.Success {
		return status, true
	}
	if status, work := f.allow(fnControl); !work {
		return status, true
	}
	err := with(any(f.datagram), func(m Multicaster) error {
		if join {
			return m.JoinGroup(group)
		}
		return m.LeaveGroup(group)
	})
	return statusOf(err, setting), true
}

// group reads IP_MREQ or IPV6_MREQ: a group, then the interface, by one of its
// addresses or its index; 0 is any. A network has one interface.
func (f *flow) group(v6 bool, input []byte) (netip.Addr, ntstatus.Status) {
	size := 8
	if v6 {
		size = 20
	}
	if len(input) < size {
		return netip.Addr{}, f.fail(FaultFlags, ntstatus.InvalidParameter)
	}
	group, ours := netip.Addr{}, false
	if v6 {
		group = netip.AddrFrom16([16]byte(input))
		index := binary.LittleEndian.Uint32(input[16:])
		ours = index == 0 || index == interfaceIndex
	} else {
		group = netip.AddrFrom4([4]byte(input))
		ours = f.isOurs(netip.AddrFrom4([4]byte(input[4:])))
	}
	if !group.IsMulticast() || !ours {
		return netip.Addr{}, f.fail(FaultAddress, ntstatus.InvalidAddressComponent)
	}
	return group, ntstatus.Success
}

// isOurs reports whether a is 0 or an address of the network's interface.
func (f *flow) isOurs(a netip.Addr) bool {
	if a.IsUnspecified() {
		return true
	}
	all, _ := f.client.provider.addresses()
	for _, b := range all {
		if a == b {
			return true
		}
	}
	return false
}

// addresses are the network's own.
func (p *Provider) addresses() ([]netip.Addr, ntstatus.Status) {
	p.mu.Lock()
	network, status := p.network, p.ready()
	p.mu.Unlock()
	if status != ntstatus.Success {
		return nil, status
	}
	l, ok := as[AddressLister](network)
	if !ok {
		return nil, ntstatus.NotSupported
	}
	return l.Addresses(), ntstatus.Success
}

// addressOf is an address without a port.
func addressOf(a netip.Addr) SockAddr { return SockAddrFrom(netip.AddrPortFrom(a, 0)) }
