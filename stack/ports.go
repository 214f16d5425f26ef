package stack

import (
	"sync"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/ports"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// heldPorts counts the connections on each local port whose reservation netstack was
// given back.
//
// Netstack reserves the port of each connection that it opens in three nested maps, 1.5 KB
// for each (D-60). Once the connection is up they serve for one thing only: nobody binds
// its port. This says the same in a few bytes, until netstack is done with the connection.
// Others may connect from the port to other peers, as on Linux; netstack still refuses the
// same addresses and ports twice (PIN-port-given-back). A port that Bind was asked for
// stays reserved, so that nobody connects from it by chance (see socket.keeps).
type heldPorts struct {
	mu    sync.Mutex // a leaf
	count map[uint16]uint32
}

func (h *heldPorts) add(port uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count == nil {
		h.count = make(map[uint16]uint32)
	}
	h.count[port]++
}

func (h *heldPorts) remove(port uint16) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.count[port]--; h.count[port] == 0 {
		delete(h.count, port)
	}
}

func (h *heldPorts) has(port uint16) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[port] != 0
}

// giveBack gives the reservation of an established connection's port back; bound says
// whether Bind made it, or Connect. Called with Endpoint.mu and Stack.ports held.
func (k *socket) giveBack(bound bool) {
	if k.keeps {
		return
	}
	// Whatever ends the connection has netstack's lock, and gives the port back itself:
	// a second time would take it from who has it by then.
	ep := k.ep.(*tcp.Endpoint)
	ep.LockUser()
	defer ep.UnlockUser()
	if k.isOver() {
		return
	}
	id := idOf(k)
	r := ports.Reservation{
		Networks: []tcpip.NetworkProtocolNumber{networkOf(id.LocalAddress)}, Transport: tcp.ProtocolNumber,
		Addr: id.LocalAddress, Port: id.LocalPort,
	}
	if !bound {
		r.Dest = tcpip.FullAddress{Addr: id.RemoteAddress, Port: id.RemotePort}
	}
	k.mu.Lock()
	k.holds = id.LocalPort
	k.mu.Unlock()
	k.stack.held.add(id.LocalPort)
	k.stack.ns.ReleasePort(r)
}

func networkOf(a tcpip.Address) tcpip.NetworkProtocolNumber {
	if a.Len() == header.IPv4AddressSize {
		return header.IPv4ProtocolNumber
	}
	return header.IPv6ProtocolNumber
}

// collides says whether a connection that holds its port by itself is in the way of
// binding to a port and an address, or the wildcard of the endpoint's family.
func (e *Endpoint) collides(at tcpip.FullAddress) bool {
	if !e.stack.held.has(at.Port) {
		return false
	}
	for _, k := range e.stack.allSockets() {
		k.mu.Lock()
		holds := k.holds == at.Port
		k.mu.Unlock()
		if !holds {
			continue
		}
		switch local := idOf(k).LocalAddress; {
		case at.Addr == local,
			at.Addr == tcpip.Address{} && networkOf(local) == e.proto,
			at.Addr == tcpip.Address{} && e.proto == header.IPv6ProtocolNumber && !e.v6only:
			return true
		}
	}
	return false
}

// take binds the socket, to a port that nobody has if none is asked for. Called with mu
// and Stack.ports held.
func (e *Endpoint) take(at tcpip.FullAddress) tcpip.Error {
	shares := e.sock.shares()
	e.sock.keeps = shares || at.Port != 0
	if at.Port != 0 {
		if e.collides(at) {
			return &tcpip.ErrPortInUse{}
		}
		return e.sock.ep.Bind(at)
	}
	_, err := e.stack.ns.PickEphemeralPort(e.stack.ns.SecureRNG(), func(port uint16) (bool, tcpip.Error) {
		at.Port = port
		if e.stack.held.has(port) || shares && !e.free(at) {
			return false, nil
		}
		err := e.sock.ep.Bind(at)
		if _, taken := err.(*tcpip.ErrPortInUse); taken {
			return false, nil
		}
		return err == nil, err
	})
	return err
}

// free says whether nobody has reserved a port, not even to share it.
func (e *Endpoint) free(at tcpip.FullAddress) bool {
	r := ports.Reservation{Networks: []tcpip.NetworkProtocolNumber{e.proto}, Transport: tcp.ProtocolNumber, Addr: at.Addr, Port: at.Port}
	if e.proto == header.IPv6ProtocolNumber && !e.v6only {
		r.Networks = append(r.Networks, header.IPv4ProtocolNumber)
	}
	if _, err := e.stack.ns.ReservePort(e.stack.ns.SecureRNG(), r, nil); err != nil {
		return false
	}
	e.stack.ns.ReleasePort(r)
	return true
}
