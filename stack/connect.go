package stack

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack/fastopen"
)

// maxDeferred is how many bytes the first Write of a deferred connect takes: no
// packet can carry more.
const maxDeferred = 65535

// ConnectOptions are the details of a Connect. The zero value is an ordinary
// connect with the stack's Fast Open mode.
type ConnectOptions struct {
	// Data is sent first, as much of it as may be in the SYN. It is the
	// endpoint's until Connected says done or an error, or until Close or Abort:
	// do not change it before.
	Data []byte

	// FastOpen overrides the stack's mode.
	FastOpen fastopen.Mode

	// Timeout overrides Config.ConnectTimeout. 0 does not.
	Timeout time.Duration

	// Deferred leaves the start to the first Write, whose bytes then ride the
	// SYN, if Fast Open can send data to this peer now. Otherwise, and if there
	// is Data, the connect starts at once.
	Deferred bool

	// unlessDeferred is the Timeout of a connect that begins at once; 0: Timeout.
	unlessDeferred time.Duration
}

// attempt is one connect, from Connect to its end.
type attempt struct {
	opts     ConnectOptions
	deferred bool          // begun by a Write, whose caller thinks it is connected
	pending  atomic.Int64  // bytes of opts.Data that netstack has not taken
	signal   chan struct{} // of the socket's events, and of the two below; holds one
	stopped  atomic.Bool   // by Close or Abort
	expired  atomic.Bool   // after opts.Timeout
	timer    tcpip.Timer
	finish   bool // CloseWrite once the data is written; guarded by Endpoint.mu
	deaf     bool // CloseRead likewise
}

// Connect begins to connect; nil means that it has begun, and Connected tells how
// it ends. The local port, unless Bind was asked for it, may be that of connections to
// other peers. After a failure the endpoint can be connected again, from the same
// port if it was bound.
//
// Errors: EALREADY while connecting, EISCONN when connected, EINVAL for a
// listening endpoint or a negative timeout, EADDRNOTAVAIL for the unspecified
// address or port 0, EAFNOSUPPORT for the other family, ENETUNREACH without a
// route or for addresses that TCP cannot reach, EACCES for broadcast addresses,
// EADDRINUSE if the port was lost after an earlier failure, net.ErrClosed.
func (e *Endpoint) Connect(remote netip.AddrPort, opts ConnectOptions) error {
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.phase {
	case phaseClosed:
		return net.ErrClosed
	case phaseConnecting:
		return syscall.EALREADY
	case phaseDeferred, phaseConnected:
		return syscall.EISCONN
	case phaseListening:
		return syscall.EINVAL
	}
	if opts.Timeout < 0 {
		return syscall.EINVAL
	}
	if err := e.checkRemote(remote); err != nil {
		return err
	}
	if opts.Timeout == 0 {
		opts.Timeout = e.stack.cfg.ConnectTimeout
	}
	e.connErr = nil
	if opts.Deferred && len(opts.Data) == 0 && e.stack.carries(e.bound.Addr(), remote, opts.FastOpen) {
		e.remote, e.flow = remote, nil
		e.phase = phaseDeferred
		e.attempt = &attempt{opts: opts, deferred: true}
		return nil
	}
	if opts.unlessDeferred != 0 {
		opts.Timeout = opts.unlessDeferred
	}
	return e.begin(remote, &attempt{opts: opts})
}

// checkRemote refuses what netstack would send a SYN to although nobody can
// answer it.
func (e *Endpoint) checkRemote(remote netip.AddrPort) error {
	a := remote.Addr()
	switch {
	case !a.IsValid() || a.IsUnspecified() || remote.Port() == 0:
		return syscall.EADDRNOTAVAIL
	case a.Zone() != "":
		return syscall.EINVAL
	case a.IsMulticast() || a.IsLoopback():
		return syscall.ENETUNREACH
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}),
		e.stack.ns.IsSubnetBroadcast(nicID, protocolOf(a), toTCPIP(a)):
		return syscall.EACCES
	}
	return e.checkFamily(a)
}

// carries says whether a SYN from a local address (the zero value: any) to remote could
// carry data now.
func (s *Stack) carries(local netip.Addr, remote netip.AddrPort, mode fastopen.Mode) bool {
	if mode == fastopen.ModeDefault {
		mode = s.link.Mode()
	}
	switch mode {
	case fastopen.ModeOff:
		return false
	case fastopen.ModeCookieless:
		return true
	}
	from, err := s.sourceFor(local, remote.Addr())
	if err != nil {
		return false // Connect will say so
	}
	return s.link.HasCookie(fromTCPIP(from, netip.Addr{}), remote)
}

// begin sends the SYN and starts the worker. Called with mu held.
func (e *Endpoint) begin(remote netip.AddrPort, a *attempt) error {
	e.remote, e.phase, e.attempt = remote, phaseIdle, nil
	e.stack.ports.Lock()
	defer e.stack.ports.Unlock()
	if err := e.prepare(remote.Addr()); err != nil {
		return err
	}
	k := e.sock
	a.signal = newSignal()
	e.flow = e.stack.link.Offer(fastopen.OfferOptions{Payload: a.opts.Data, Mode: a.opts.FastOpen})
	k.mu.Lock()
	k.flow = e.flow
	k.mu.Unlock()
	k.ep.SetOwner(e.flow)
	k.worker.Store(&a.signal)
	k.keeps = k.keeps || k.shares()
	if err := k.ep.Connect(full(remote)); err != nil {
		if _, started := err.(*tcpip.ErrConnectStarted); !started {
			return e.undo(toErrno(err))
		}
	}
	e.stack.acks.add(k)
	a.pending.Store(int64(len(a.opts.Data)))
	a.timer = e.stack.cfg.Clock.AfterFunc(a.opts.Timeout, func() { a.end(&a.expired) })
	e.phase, e.attempt = phaseConnecting, a
	if err := e.stack.work(func() { e.connecting(k, a) }); err != nil {
		a.timer.Stop()
		e.phase, e.attempt = phaseIdle, nil
		return e.undo(err)
	}
	return nil
}

// prepare provides a socket that can be connected to an address. Called with mu
// and Stack.ports held.
//
// One that is bound to the wildcard is replaced by one on the same port and the
// address that the route to the peer has. If it were connected, netstack would
// never give its port back: it looks for the reservation under the address that
// the connect chose, and for a dual-stack socket under one family only.
func (e *Endpoint) prepare(remote netip.Addr) error {
	if err := e.revive(); err != nil {
		return err
	}
	if !e.sock.wide {
		return nil
	}
	local, err := e.stack.sourceFor(e.bound.Addr(), remote)
	if err != nil {
		return err
	}
	return e.replace(protocolOf(remote), tcpip.FullAddress{NIC: nicID, Addr: local, Port: e.bound.Port()})
}

// sourceFor is the local address that connections from local, which may be the zero
// value, to remote have, or the error that there is no route.
func (s *Stack) sourceFor(local, remote netip.Addr) (tcpip.Address, error) {
	to := full(netip.AddrPortFrom(remote, 0))
	r, err := s.ns.FindRoute(to.NIC, toTCPIP(local), to.Addr, protocolOf(remote), false)
	if err != nil {
		return tcpip.Address{}, toErrno(err)
	}
	defer r.Release()
	return r.LocalAddress(), nil
}

// undo takes a connect back that could not begin or that failed: the socket is
// replaced, since netstack's is spent, and the port kept. If the port is lost,
// the next call says so. Called with mu and Stack.ports held.
func (e *Endpoint) undo(reason error) error {
	e.drop()
	_ = e.revive()
	return reason
}

// connecting is the worker: it waits for the handshake, writes the data whole and
// before anything else, and ends. It is the only goroutine that a connect has.
func (e *Endpoint) connecting(k *socket, a *attempt) {
	defer a.timer.Stop()
	err := e.handshake(k, a)
	k.inSYN.Store(int64(e.FastOpenInfo().BytesAccepted))
	for err == nil && a.pending.Load() > 0 {
		err = e.handOver(k, a)
	}
	e.concluded(k, a, err)
	k.worker.Store(nil)
	k.wake()
}

// end makes the worker give up, if there is one.
func (a *attempt) end(why *atomic.Bool) {
	why.Store(true)
	signal(a.signal)
}

// wait waits for the next event of the socket.
func (a *attempt) wait() error {
	<-a.signal
	switch {
	case a.stopped.Load():
		return net.ErrClosed
	case a.expired.Load():
		return syscall.ETIMEDOUT
	}
	return nil
}

// handshake waits until the connection is established.
func (e *Endpoint) handshake(k *socket, a *attempt) error {
	for {
		switch tcp.EndpointState(k.ep.State()) {
		case tcp.StateConnecting, tcp.StateSynSent, tcp.StateSynRecv:
		case tcp.StateInitial, tcp.StateBound, tcp.StateClose, tcp.StateError:
			if err := k.ep.LastError(); err != nil {
				return toErrno(err)
			}
			return syscall.ECONNABORTED
		default:
			return nil
		}
		if err := a.wait(); err != nil {
			return err
		}
	}
}

// handOver writes the next part of the data, or waits until it can be written.
func (e *Endpoint) handOver(k *socket, a *attempt) error {
	data := a.opts.Data
	n, err := k.write([][]byte{data[len(data)-int(a.pending.Load()):]})
	if errors.Is(err, syscall.EAGAIN) {
		return a.wait()
	}
	a.pending.Add(-int64(n))
	return err
}

// concluded puts down how the connect ended, unless Close or Abort has ended it.
func (e *Endpoint) concluded(k *socket, a *attempt, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.attempt != a {
		return
	}
	e.attempt = nil
	a.opts.Data = nil
	closed := e.phase == phaseClosed // by Close, after a deferred connect's Write
	switch {
	case closed && err == nil:
		e.sock = nil
		k.close()
	case closed:
		e.drop()
	case err == nil:
		e.phase = phaseConnected
		e.options.again(optKeepAlive, k.ep)
		e.stack.ports.Lock()
		k.giveBack(e.isBound)
		e.stack.ports.Unlock()
		if a.finish {
			_ = k.ep.Shutdown(tcpip.ShutdownWrite) // fails only if it has broken already
		}
		if a.deaf {
			_ = k.ep.Shutdown(tcpip.ShutdownRead)
		}
	default:
		e.phase, e.connErr = phaseIdle, err
		e.stack.ports.Lock()
		defer e.stack.ports.Unlock()
		_ = e.undo(err)
	}
}

// Connected tells how Connect ends: (false, nil) while it is under way, (true,
// nil) once the connection is established and all of Data has been handed to
// netstack, (false, reason) if it failed, ENOTCONN if there was none. A deferred
// connect is done until its first Write and after that write's connect.
func (e *Endpoint) Connected() (done bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	switch e.phase {
	case phaseClosed:
		return false, net.ErrClosed
	case phaseConnecting:
		return false, nil
	case phaseDeferred, phaseConnected:
		return true, nil
	}
	if e.connErr != nil {
		return false, e.connErr
	}
	return false, syscall.ENOTCONN
}

// writeDeferred begins a deferred connect with what may be its first bytes.
func (e *Endpoint) writeDeferred(src [][]byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.phase != phaseDeferred {
		return 0, syscall.EAGAIN // another Write was first
	}
	a := e.attempt
	data := make([]byte, 0, min(vectorLen(src), maxDeferred))
	for _, p := range src {
		data = append(data, p[:min(len(p), cap(data)-len(data))]...)
	}
	a.opts.Data = data
	n := len(data)
	if err := e.begin(e.remote, a); err != nil {
		e.connErr = err
		if f := e.wake.Load(); f != nil {
			(*f)(events) // others may wait for what becomes of the connection
		}
		return 0, err
	}
	return n, nil
}
