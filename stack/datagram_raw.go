package stack

import (
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/raw"
)

// NewRaw makes a raw socket for ICMP ("ip4") or ICMPv6 ("ip6"). What is sent is what
// the IP packet carries, checksum included for ICMP; that of ICMPv6 is filled in. What
// is received has its IPv4 header in front; ICMPv6 has none. Addresses have port 0.
// Every raw socket gets a copy of what comes in, and netstack answers echo requests all
// the same. The error is syscall.EPROTONOSUPPORT for another network.
//
// There are no other protocols: netstack hands raw endpoints only what a transport
// protocol of its own is registered for.
func (s *Stack) NewRaw(network string) (*Datagram, error) {
	d := &Datagram{stack: s, v6: network == "ip6", raw: true}
	proto, transport := header.IPv4ProtocolNumber, icmp.ProtocolNumber4
	switch {
	case d.v6:
		proto, transport = header.IPv6ProtocolNumber, icmp.ProtocolNumber6
	case network != "ip4":
		return nil, syscall.EPROTONOSUPPORT
	}
	ep, err := raw.NewEndpoint(s.ns, proto, transport, &d.queue)
	if err != nil {
		return nil, toErrno(err)
	}
	if err := d.begin(ep, d.v6); err != nil {
		return nil, err
	}
	return d, nil
}

// SetReusePort lets other sockets that have it set bind the same port; before Bind.
func (d *Datagram) SetReusePort(on bool) error {
	d.ep.SocketOptions().SetReusePort(on)
	return nil
}

// SetTTL sets the time to live of IPv4 datagrams to single hosts, 1 to 255.
func (d *Datagram) SetTTL(hops int) error { return d.setByte(tcpip.IPv4TTLOption, hops, 1) }

// SetHopLimit sets the hop limit of IPv6 datagrams to single hosts, 1 to 255.
func (d *Datagram) SetHopLimit(hops int) error { return d.setByte(tcpip.IPv6HopLimitOption, hops, 1) }

// SetTOS sets the type of service of IPv4 datagrams and the traffic class of IPv6
// datagrams, 0 to 255.
func (d *Datagram) SetTOS(tos int) error {
	if err := d.setByte(tcpip.IPv4TOSOption, tos, 0); err != nil {
		return err
	}
	return d.setByte(tcpip.IPv6TrafficClassOption, tos, 0)
}

// SetMulticastHops sets the time to live and hop limit of datagrams to groups, 0 to
// 255; 1 from the start.
func (d *Datagram) SetMulticastHops(hops int) error {
	return d.setByte(tcpip.MulticastTTLOption, hops, 0)
}

func (d *Datagram) setByte(opt tcpip.SockOptInt, v, least int) error {
	if v < least || v > 255 {
		return syscall.EINVAL
	}
	return toErrno(d.ep.SetSockOptInt(opt, v))
}

// SetMulticastLoop says whether what is sent to a group comes back if the stack is in
// it; it does from the start.
func (d *Datagram) SetMulticastLoop(on bool) error {
	d.ep.SocketOptions().SetMulticastLoop(on)
	return nil
}

// JoinGroup receives what is sent to a group from now on. Errors: EADDRINUSE if the
// socket is in it, EINVAL if it is no group.
func (d *Datagram) JoinGroup(group netip.Addr) error {
	return toErrno(d.ep.SetSockOpt(&tcpip.AddMembershipOption{NIC: nicID, MulticastAddr: toTCPIP(group.Unmap())}))
}

// LeaveGroup ends that. Errors: EADDRNOTAVAIL if the socket is not in it.
func (d *Datagram) LeaveGroup(group netip.Addr) error {
	return toErrno(d.ep.SetSockOpt(&tcpip.RemoveMembershipOption{NIC: nicID, MulticastAddr: toTCPIP(group.Unmap())}))
}

// Addresses are the stack's own, those that it was given later included.
func (s *Stack) Addresses() []netip.Addr {
	var all []netip.Addr
	for _, a := range s.ns.AllAddresses()[nicID] {
		addr := fromTCPIP(a.AddressWithPrefix.Address, netip.Addr{})
		if notUnicast(addr) == "" {
			all = append(all, addr)
		}
	}
	return all
}
