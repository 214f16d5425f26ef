package stack

import (
	"net"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack/gate"
	"github.com/wskstack/wskstack/stack/seg"
)

// RequestID identifies a connection request to its Stack. It is never 0.
type RequestID = gate.ID

// Request tells a listener of a connection request: a new one waits for Decide, one
// that is Gone is over.
type Request = gate.Event

// SetInspect makes Listen ask before it opens a connection: a SYN is not answered
// until Decide was called with what NextRequest has told. Requests wait for 75
// seconds, at most as many as the backlog; what comes when they are full is dropped.
// Errors: EINVAL once the endpoint listens or is connected, net.ErrClosed.
func (e *Endpoint) SetInspect(on bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.phase {
	case phaseClosed:
		return net.ErrClosed
	case phaseIdle:
	default:
		return syscall.EINVAL
	}
	e.inspect = on
	return nil
}

// NextRequest takes the next news of a request. The wake function is called when
// there is some. Every request that it told of as new ends once: with its connection
// from Accept, with Decide's refusal, with news that it is Gone, or with Close.
// Errors: EAGAIN if there is none, EINVAL if the endpoint does not inspect,
// net.ErrClosed.
func (e *Endpoint) NextRequest() (Request, error) {
	ln, err := e.inspector()
	if err != nil {
		return Request{}, err
	}
	q, ok := ln.Next()
	if !ok {
		return Request{}, syscall.EAGAIN
	}
	return q, nil
}

// Decide lets a request open its connection, or refuses it with a reset. It does
// nothing for one that is gone while NextRequest has not told so. Errors: ENOENT if
// no request of this id waits, EINVAL if the endpoint does not inspect,
// net.ErrClosed.
func (e *Endpoint) Decide(id RequestID, accept bool) error {
	ln, err := e.inspector()
	if err != nil {
		return err
	}
	// The SYN goes up here, without the endpoint's lock; Stack.Close waits for it.
	if err := e.stack.enter(); err != nil {
		return err
	}
	defer e.stack.workers.Done()
	if ln.Decide(id, accept) != nil {
		return syscall.ENOENT
	}
	return nil
}

// RequestID is the request that an accepted connection came from; false if its
// listener did not inspect.
func (e *Endpoint) RequestID() (RequestID, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.request, e.request != 0
}

func (e *Endpoint) inspector() (*gate.Listener, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch {
	case e.phase == phaseClosed:
		return nil, net.ErrClosed
	case e.requests == nil:
		return nil, syscall.EINVAL
	}
	return e.requests, nil
}

// startInspecting begins before netstack's endpoint listens, so that no SYN slips
// through. Called with mu held.
func (e *Endpoint) startInspecting(backlog int) {
	if !e.inspect || e.requests != nil {
		return
	}
	e.requests = e.stack.gate.Listen(backlog, e.sock.wake)
	e.stack.mu.Lock()
	e.stack.inspected[e.sock.ep] = e.requests
	e.stack.mu.Unlock()
}

// stopInspecting is called with mu held.
func (e *Endpoint) stopInspecting() {
	if e.requests == nil {
		return
	}
	e.requests.Close()
	e.requests = nil
	if e.sock != nil {
		e.stack.mu.Lock()
		delete(e.stack.inspected, e.sock.ep)
		e.stack.mu.Unlock()
	}
}

// admitted reports whether an accepted connection may be handed out: where requests
// are inspected, only one that was admitted. Called with mu held.
func (e *Endpoint) admitted(child *Endpoint) bool {
	if e.requests == nil {
		return true
	}
	id, ok := e.requests.Take(child.LocalAddr(), child.RemoteAddr())
	child.mu.Lock()
	child.request = id
	child.mu.Unlock()
	return ok
}

// inspectorOf finds who inspects a SYN, as netstack finds whom it is for: a
// connection between the same ports comes before the listener.
func (s *Stack) inspectorOf(local, remote netip.AddrPort) *gate.Listener {
	id := gstack.TransportEndpointID{
		LocalPort: local.Port(), LocalAddress: toTCPIP(local.Addr()),
		RemotePort: remote.Port(), RemoteAddress: toTCPIP(remote.Addr()),
	}
	ep, ok := s.ns.FindTransportEndpoint(protocolOf(local.Addr()), tcp.ProtocolNumber, id, nicID).(tcpip.Endpoint)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inspected[ep]
}

// refuse answers a SYN with a reset, as netstack does where nobody listens (RFC 9293
// §3.10.7.1). If there is no way back, there is no answer.
func (s *Stack) refuse(syn seg.Segment) {
	local, remote := syn.Dst(), syn.Src()
	r, err := s.ns.FindRoute(nicID, toTCPIP(local.Addr()), toTCPIP(remote.Addr()), protocolOf(remote.Addr()), false)
	if err != nil {
		return
	}
	defer r.Release()
	rst := seg.Make(seg.Fields{Src: local, Dst: remote, Ack: syn.End(), Flags: seg.RST | seg.ACK})
	hdr := header.TCP(rst.Bytes()[rst.IPHeaderLen():])
	if !r.RequiresTXTransportChecksum() {
		hdr.SetChecksum(0) // the link below computes it
	}
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
		ReserveHeaderBytes: int(r.MaxHeaderLength()) + len(hdr), Payload: buffer.Buffer{},
	})
	defer pkt.DecRef()
	pkt.TransportProtocolNumber = tcp.ProtocolNumber
	copy(pkt.TransportHeader().Push(len(hdr)), hdr)
	// A reset that is lost is sent again when the SYN is.
	_ = r.WritePacket(gstack.NetworkHeaderParams{Protocol: tcp.ProtocolNumber, TTL: r.DefaultTTL()}, pkt)
}

// enter counts a call that Close has to wait for, until workers.Done.
func (s *Stack) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.workers.Add(1)
	return nil
}

// Silence makes a connection silent: nothing of it is sent any more, no reset either,
// and what the peer sends is dropped, until end is called, which may be done more
// than once. The endpoint is closed; Silence tells the peer nothing of that. A new
// connection between the same ports would be silent as well. Errors: ENOTCONN if the
// endpoint is not connected, EOPNOTSUPP if the peer is the stack itself (no packet of
// such a connection leaves netstack), net.ErrClosed.
func (e *Endpoint) Silence() (end func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.phase == phaseClosed:
		return nil, net.ErrClosed
	case e.phase != phaseConnected || e.sock == nil || e.sock.isOver():
		return nil, syscall.ENOTCONN
	case e.stack.ns.CheckLocalAddress(0, protocolOf(e.remote.Addr()), toTCPIP(e.remote.Addr())) != 0:
		return nil, syscall.EOPNOTSUPP
	}
	end = e.stack.gate.Silence(e.localAddr(), e.remote)
	e.retire()
	e.drop()
	return end, nil
}
