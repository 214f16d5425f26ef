package stack

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/gate"
)

// phase is what an Endpoint can be asked for; what TCP is doing is State's to
// tell.
type phase uint8

const (
	// phaseIdle: bound or not, neither connected nor listening; also after a
	// connect that failed. Left by Connect, Listen and Close.
	phaseIdle phase = iota
	// phaseDeferred: Connect has been called and nothing sent; the first Write
	// sends. Left by Write and Close.
	phaseDeferred
	// phaseConnecting: a worker is connecting. Left when it is done, to idle or
	// connected, and by Close.
	phaseConnecting
	// phaseConnected: was connected once; left by Close alone.
	phaseConnected
	// phaseListening: left by Close alone.
	phaseListening
	// phaseClosed: by Close or Abort or with the stack. Never left.
	phaseClosed
)

// Endpoint is a TCP socket whose calls never block. All methods may be called
// from any goroutine; two writers at a time get their bytes sent in either order.
//
// Where a call cannot do its work now it returns syscall.EAGAIN; the wake
// function is called when it may be worth another try.
type Endpoint struct {
	stack *Stack
	wake  atomic.Pointer[func(waiter.EventMask)] // with what may be different
	// linger is the endpoint's own close timeout in ns; 0: the stack's.
	linger atomic.Int64

	// mu guards what follows. It is held for reading over calls that move data
	// and for writing over those that change the phase; netstack is called with
	// it held, and never calls anything that takes it.
	mu       sync.RWMutex
	phase    phase
	v6only   bool
	isBound  bool
	inspect  bool                        // of SetInspect
	accepted bool                        // came from Accept
	proto    tcpip.NetworkProtocolNumber // the socket's family, as asked for
	bound    netip.AddrPort              // what Bind was given, with the port it got; the local address, once closed
	sock     *socket
	options  options
	attempt  *attempt // the connect under way, or deferred
	remote   netip.AddrPort
	connErr  error // why the last connect failed
	flow     *fastopen.Flow
	listener *fastopen.Listener // of ServeFastOpen
	requests *gate.Listener     // while it listens with inspect
	request  RequestID          // that the connection came from
	came     *fastopen.Outcome  // what Fast Open did for an accepted connection, once that is known
}

// NewEndpoint makes an endpoint: "tcp4", "tcp6" (IPv6 only) or "tcp" (an IPv6
// socket that speaks IPv4 too). The error is syscall.EPROTONOSUPPORT for another
// network and net.ErrClosed after the stack's Close.
func (s *Stack) NewEndpoint(network string) (*Endpoint, error) {
	e := &Endpoint{stack: s, proto: header.IPv6ProtocolNumber}
	e.mu.Lock() // until the socket is in place: the stack may be closing
	defer e.mu.Unlock()
	switch network {
	case "tcp":
	case "tcp4":
		e.proto = header.IPv4ProtocolNumber
	case "tcp6":
		e.v6only = true
	default:
		return nil, syscall.EPROTONOSUPPORT
	}
	k, err := e.open(e.proto)
	if err != nil {
		return nil, err
	}
	e.sock = k
	return e, nil
}

// open makes a socket with the endpoint's options. Called with mu held.
func (e *Endpoint) open(proto tcpip.NetworkProtocolNumber) (*socket, error) {
	k, err := e.stack.newSocket(e, func(k *socket) (tcpip.Endpoint, error) {
		return e.stack.newTCP(proto, k)
	})
	if err != nil {
		return nil, err
	}
	if proto == header.IPv6ProtocolNumber {
		k.ep.SocketOptions().SetV6Only(e.v6only)
	}
	if err := e.options.apply(k.ep); err != nil {
		k.abort()
		return nil, err
	}
	return k, nil
}

// SetWake sets the function that is called when the endpoint may have become
// connected, readable, writable or acceptable, may have failed, when the state has
// changed, and as WakeWhenUnacknowledged says; of a connect it tells the end
// only. A full send buffer is writable again when half of it is free. It is called on
// goroutines and under locks of netstack's, spuriously too: it must neither block nor
// call the endpoint, only signal. Nil: none. What happened before is not repeated, so
// look once after setting it.
func (e *Endpoint) SetWake(f func()) {
	if f == nil {
		e.wake.Store(nil)
		return
	}
	e.setWake(func(waiter.EventMask) { f() })
}

// setWake is SetWake for a function that wants to know of what.
func (e *Endpoint) setWake(f func(waiter.EventMask)) { e.wake.Store(&f) }

// Bind fixes the local port, an ephemeral one if it is 0, and the address unless
// that is unspecified or the zero value: then the stack chooses it by its routes
// when the endpoint connects. Errors: EINVAL if the endpoint is bound or in use,
// EADDRNOTAVAIL if the address is not the stack's, EADDRINUSE (for port 0: no port is
// free), EAFNOSUPPORT.
func (e *Endpoint) Bind(local netip.AddrPort) error {
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase == phaseClosed {
		return net.ErrClosed
	}
	if e.phase != phaseIdle || e.isBound {
		return syscall.EINVAL
	}
	if err := e.checkFamily(local.Addr()); local.Addr().IsValid() && err != nil {
		return err
	}
	e.stack.ports.Lock()
	defer e.stack.ports.Unlock()
	if err := e.revive(); err != nil {
		return err
	}
	if err := e.bind(local); err != nil {
		return err
	}
	e.isBound = true
	return nil
}

// bind binds the socket and keeps what it got. Called with mu and Stack.ports
// held.
func (e *Endpoint) bind(local netip.AddrPort) error {
	address := e.narrow(local.Addr())
	if err := e.take(full(netip.AddrPortFrom(address, local.Port()))); err != nil {
		return bindErrno(err)
	}
	e.sock.wide = !specific(address)
	got, err := e.sock.ep.GetLocalAddress()
	if err != nil {
		return toErrno(err)
	}
	e.bound = netip.AddrPortFrom(local.Addr(), got.Port)
	return nil
}

// narrow is the address to bind netstack's endpoint to. For the wildcard it is the
// stack's only address, if the endpoint's family has but one: no other can come of
// it when the endpoint connects, and it then need not be replaced (see prepare). Who
// shares a port is compared with the wildcard of others, and keeps it.
func (e *Endpoint) narrow(local netip.Addr) netip.Addr {
	if specific(local) || e.proto == header.IPv6ProtocolNumber && !e.v6only || e.sock.shares() {
		return local
	}
	var only netip.Addr
	for _, p := range e.stack.cfg.Addresses {
		switch a := p.Addr(); {
		case protocolOf(a) != e.proto:
		case only.IsValid() || a.IsLinkLocalUnicast():
			return local
		default:
			only = a
		}
	}
	return only
}

// widen binds a socket that was bound narrowly to what Bind was given. Called with mu
// and Stack.ports held.
func (e *Endpoint) widen() error {
	if !e.isBound || e.sock.wide || specific(e.bound.Addr()) {
		return nil
	}
	return e.replace(e.proto, full(e.bound))
}

// replace provides another socket in place of the one that there is, on its port.
// Called with mu and Stack.ports held.
func (e *Endpoint) replace(proto tcpip.NetworkProtocolNumber, local tcpip.FullAddress) error {
	k, err := e.open(proto)
	if err != nil {
		return err
	}
	k.keeps = e.sock.keeps || k.shares()
	e.drop()
	e.sock = k
	if err := k.ep.Bind(local); err != nil {
		return e.undo(toErrno(err))
	}
	k.wide = local.Addr == tcpip.Address{}
	return nil
}

// checkFamily says whether the socket can have to do with an address.
func (e *Endpoint) checkFamily(a netip.Addr) error {
	switch {
	case e.proto == header.IPv4ProtocolNumber && !a.Is4(),
		e.v6only && a.Is4():
		return syscall.EAFNOSUPPORT
	}
	return nil
}

// revive gives the endpoint a living socket again after a failed connect: of its
// family, with its options, and bound to the port it had. Called with mu and
// Stack.ports held.
func (e *Endpoint) revive() error {
	if e.sock != nil {
		return nil
	}
	k, err := e.open(e.proto)
	if err != nil {
		return err
	}
	e.sock = k
	if !e.isBound {
		return nil
	}
	if err := e.bind(e.bound); err != nil {
		e.drop()
		return err
	}
	return nil
}

// drop ends the socket without a packet or with a reset. Called with mu held.
func (e *Endpoint) drop() {
	if k := e.sock; k != nil {
		e.sock = nil
		k.abort()
	}
}

// LocalAddr is the address that the endpoint is bound to or connected from. A
// part that is not fixed yet is unspecified or 0.
func (e *Endpoint) LocalAddr() netip.AddrPort {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.localAddr()
}

func (e *Endpoint) localAddr() netip.AddrPort {
	switch {
	case e.phase == phaseClosed:
		return e.bound
	case e.sock == nil:
		return netip.AddrPort{}
	}
	wildcard := netip.IPv6Unspecified()
	if e.proto == header.IPv4ProtocolNumber {
		wildcard = netip.IPv4Unspecified()
	}
	got, err := e.sock.ep.GetLocalAddress()
	if err != nil {
		return netip.AddrPortFrom(wildcard, 0)
	}
	if e.phase <= phaseDeferred && !specific(e.bound.Addr()) {
		return netip.AddrPortFrom(wildcard, got.Port) // whatever netstack was told
	}
	return netip.AddrPortFrom(fromTCPIP(got.Addr, wildcard), got.Port)
}

// RemoteAddr is the peer's address: of a connection, or of the connect under way
// or last tried. Without any it is the zero value.
func (e *Endpoint) RemoteAddr() netip.AddrPort {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.remote
}

// FastOpenInfo is what Fast Open did for the connection, or the connect under way
// or last tried. For an accepted connection BytesInSYN are those that came in the
// peer's SYN, and BytesAccepted those of them that were delivered before the
// handshake was over; both are known once the SYN-ACK has left, which may be a
// moment after Accept.
func (e *Endpoint) FastOpenInfo() fastopen.Outcome {
	e.mu.RLock()
	flow, accepted := e.flow, e.accepted
	e.mu.RUnlock()
	switch {
	case flow != nil:
		return flow.Outcome()
	case accepted:
		return e.cameIn()
	}
	return fastopen.Outcome{}
}

// cameIn is FastOpenInfo of an accepted connection. The Fast Open layer forgets
// it in time, so it is kept once it is known.
func (e *Endpoint) cameIn() fastopen.Outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.came != nil {
		return *e.came
	}
	a, ok := e.stack.link.Accepted(e.localAddr(), e.remote)
	if !ok {
		return fastopen.Outcome{}
	}
	e.came = &fastopen.Outcome{Wanted: true, Answered: true, Done: true,
		BytesInSYN: a.BytesInSYN, BytesAccepted: a.BytesTaken}
	return *e.came
}

// camePending says whether the connection came from Accept, and whether its client
// has yet to answer the SYN-ACK.
func (e *Endpoint) camePending() (came, pending bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.accepted {
		return false, false
	}
	a, ok := e.stack.link.Accepted(e.localAddr(), e.remote)
	return true, ok && a.Pending
}

// isClosed says whether the endpoint, or its stack, was closed.
func (e *Endpoint) isClosed() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.phase == phaseClosed
}

// isDeferred says whether a deferred connect has not begun.
func (e *Endpoint) isDeferred() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.phase == phaseDeferred
}

// quiet says whether Read would answer EAGAIN.
func (e *Endpoint) quiet() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch e.phase {
	case phaseDeferred, phaseConnecting:
		return true
	case phaseConnected:
		const any = waiter.ReadableEvents | waiter.EventHUp | waiter.EventErr
		return e.sock.ep.Readiness(any) == 0
	}
	return false
}

// fastOpenListener is what ServeFastOpen returned; nil without it.
func (e *Endpoint) fastOpenListener() *fastopen.Listener {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.listener
}

// State is TCP's state of an endpoint (RFC 9293 §3.3.2).
type State uint8

// The states. A connection that broke is Closed.
const (
	StateClosed State = iota
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
)

// String returns the name that RFC 9293 uses.
func (s State) String() string {
	names := [...]string{
		"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
		"FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return "UNKNOWN"
}

// State is what TCP is doing now. After Close it is StateClosed, although the
// connection may still be ending.
func (e *Endpoint) State() State {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.sock == nil || e.phase == phaseClosed {
		return StateClosed
	}
	switch tcp.EndpointState(e.sock.ep.State()) {
	case tcp.StateListen:
		return StateListen
	case tcp.StateConnecting, tcp.StateSynSent:
		return StateSynSent
	case tcp.StateSynRecv:
		return StateSynReceived
	case tcp.StateEstablished:
		return StateEstablished
	case tcp.StateFinWait1:
		return StateFinWait1
	case tcp.StateFinWait2:
		return StateFinWait2
	case tcp.StateCloseWait:
		return StateCloseWait
	case tcp.StateClosing:
		return StateClosing
	case tcp.StateLastAck:
		return StateLastAck
	case tcp.StateTimeWait:
		return StateTimeWait
	default:
		return StateClosed
	}
}

// closeTimeout is how long the endpoint may live on after Close.
func (e *Endpoint) closeTimeout() time.Duration {
	if d := e.linger.Load(); d > 0 {
		return time.Duration(d)
	}
	return e.stack.cfg.CloseTimeout
}
