package stack

import (
	"net"
	"net/netip"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// Listen makes the endpoint accept connections; up to backlog of them wait for
// Accept (0 or less: Config.Backlog). An endpoint that is not bound gets an
// ephemeral port. Called again it changes the backlog. Errors: EINVAL if the
// endpoint is connected or connecting, EADDRINUSE, net.ErrClosed, also once
// Stack.Shutdown was called.
func (e *Endpoint) Listen(backlog int) error {
	if backlog <= 0 {
		backlog = e.stack.cfg.Backlog
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.phase {
	case phaseClosed:
		return net.ErrClosed
	case phaseIdle, phaseListening:
	default:
		return syscall.EINVAL
	}
	// With mu held, so that Shutdown either is seen here or sees the listener.
	if e.stack.isStopping() {
		return net.ErrClosed
	}
	e.stack.ports.Lock()
	defer e.stack.ports.Unlock()
	if err := e.revive(); err != nil {
		return err
	}
	if e.phase == phaseIdle {
		if err := e.prepareListen(); err != nil {
			return err
		}
	}
	e.startInspecting(backlog)
	// Netstack calls a queue of backlog full; with 0 it would never accept.
	if err := e.sock.ep.Listen(backlog + 1); err != nil {
		if e.phase != phaseListening {
			e.stopInspecting()
		}
		return bindErrno(err)
	}
	e.phase, e.connErr = phaseListening, nil
	return nil
}

// prepareListen provides a socket that listens on what Bind was given, and on a port of
// its own without. Called with mu and Stack.ports held.
func (e *Endpoint) prepareListen() error {
	if !e.isBound {
		if err := e.bind(netip.AddrPort{}); err != nil {
			return err
		}
		e.isBound = true
	}
	return e.widen()
}

// ServeFastOpen makes a listening endpoint accept data in SYNs (RFC 7413 §4.2):
// Accept returns such a connection, and its data can be read, before the
// handshake is over. The Listener switches it at run time and counts; it closes
// with the endpoint. Errors: EINVAL if the endpoint does not listen, net.ErrClosed,
// and those of fastopen.Link.Listen: fastopen.ErrListening on a second call.
func (e *Endpoint) ServeFastOpen(cfg fastopen.ListenConfig) (*fastopen.Listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.phase {
	case phaseClosed:
		return nil, net.ErrClosed
	case phaseListening:
	default:
		return nil, syscall.EINVAL
	}
	cfg.V6Only = e.v6only
	ln, err := e.stack.link.Listen(e.localAddr(), cfg)
	if err != nil {
		return nil, err
	}
	e.listener = ln
	return ln, nil
}

// Accept returns the next connection, which has the listener's options and no
// wake function. Errors: EAGAIN if there is none, EINVAL if the endpoint does
// not listen, net.ErrClosed.
func (e *Endpoint) Accept() (*Endpoint, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch e.phase {
	case phaseClosed:
		return nil, net.ErrClosed
	case phaseListening:
	default:
		return nil, syscall.EINVAL
	}
	for {
		child, err := e.acceptOne()
		if err != nil || e.admitted(child) {
			return child, err
		}
		child.Abort()
	}
}

// acceptOne takes the next connection off netstack's queue. Called with mu held.
func (e *Endpoint) acceptOne() (*Endpoint, error) {
	var peer tcpip.FullAddress
	child := &Endpoint{stack: e.stack, phase: phaseConnected, options: e.options.inherited()}
	child.linger.Store(e.linger.Load())
	child.mu.Lock() // until the socket is in place: the stack may be closing
	defer child.mu.Unlock()
	k, err := e.stack.newSocket(child, func(k *socket) (tcpip.Endpoint, error) {
		ep, queue, err := e.sock.ep.Accept(&peer)
		if err != nil {
			return nil, toErrno(err)
		}
		k.queue = queue
		return ep, nil
	})
	if err != nil {
		return nil, err
	}
	child.remote = netip.AddrPortFrom(fromTCPIP(peer.Addr, netip.Addr{}), peer.Port)
	child.proto = protocolOf(child.remote.Addr())
	child.sock = k
	child.accepted = true
	e.stack.acks.add(k)
	if err := child.options.apply(k.ep); err != nil {
		child.drop()
		return nil, err
	}
	if k.isOver() { // it may have died before anybody listened to its events
		k.died()
	}
	return child, nil
}
