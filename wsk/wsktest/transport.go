package wsktest

import (
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/wskstack/wskstack/wsk"
)

// Network is a wsk.Network made of a function.
type Network func(v6 bool) (wsk.Transport, error)

// NewTransport calls n.
func (n Network) NewTransport(v6 bool) (wsk.Transport, error) { return n(v6) }

// Transport is a wsk.Transport made of functions. Set them before the transport
// is used. A nil one does nothing and succeeds, with these exceptions: Connected
// answers ProgressConnecting, Accept, Read and Write answer EAGAIN.
type Transport struct {
	BindFunc                   func(local netip.AddrPort) error
	ListenFunc                 func(backlog int) error
	AcceptFunc                 func() (wsk.Transport, error)
	ConnectFunc                func(remote netip.AddrPort, opts wsk.ConnectOptions) error
	ConnectedFunc              func() (wsk.Progress, error)
	ReadFunc                   func(dst [][]byte) (int, error)
	ReadableFunc               func() int
	IdealBacklogFunc           func() int
	WriteFunc                  func(src [][]byte) (int, error)
	UnacknowledgedFunc         func() int
	WakeWhenUnacknowledgedFunc func(most int)
	CloseWriteFunc             func() error
	WriteClosedFunc            func() bool
	ErrFunc                    func() error
	LocalAddrFunc              func() netip.AddrPort
	RemoteAddrFunc             func() netip.AddrPort
	CloseFunc                  func() error
	AbortFunc                  func()
	SetNoDelayFunc             func(on bool) error
	SetKeepAliveFunc           func(on bool, idle, interval time.Duration, count int) error
	SetMaxSegmentFunc          func(bytes int) error
	MaxSegmentFunc             func() (int, error)
	SetV6OnlyFunc              func(on bool) error
	SetReceiveBufferFunc       func(bytes int) error
	ReceiveBufferFunc          func() (int, error)
	SetSendBufferFunc          func(bytes int) error
	SendBufferFunc             func() (int, error)

	// What a transport may be able to do besides. SetInspect and Silence without a
	// function answer EOPNOTSUPP.

	SetInspectFunc         func(on bool) error
	NextRequestFunc        func() (wsk.Request, error)
	DecideFunc             func(id wsk.RequestID, accept bool) error
	Request                wsk.RequestID // what RequestID answers; 0: none
	SilenceFunc            func() (end func(), err error)
	ServeFastOpenFunc      func(on bool) error
	ShareAddressFunc       func(on bool) error
	SetTTLFunc             func(hops int) error
	SetHopLimitFunc        func(hops int) error
	SetTOSFunc             func(tos int) error
	SetRetransmitLimitFunc func(d time.Duration) error

	mu   sync.Mutex
	wake func()
}

// SetWake implements wsk.Transport.
func (t *Transport) SetWake(wake func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake = wake
}

// Wake says that something may be different, as a network does.
func (t *Transport) Wake() {
	t.mu.Lock()
	wake := t.wake
	t.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// Bind implements wsk.Transport.
func (t *Transport) Bind(local netip.AddrPort) error { return call1(t.BindFunc, local) }

// Listen implements wsk.Transport.
func (t *Transport) Listen(backlog int) error { return call1(t.ListenFunc, backlog) }

// Accept implements wsk.Transport.
func (t *Transport) Accept() (wsk.Transport, error) {
	if t.AcceptFunc == nil {
		return nil, syscall.EAGAIN
	}
	return t.AcceptFunc()
}

// Connect implements wsk.Transport.
func (t *Transport) Connect(remote netip.AddrPort, opts wsk.ConnectOptions) error {
	if t.ConnectFunc == nil {
		return nil
	}
	return t.ConnectFunc(remote, opts)
}

// Connected implements wsk.Transport.
func (t *Transport) Connected() (wsk.Progress, error) {
	if t.ConnectedFunc == nil {
		return wsk.ProgressConnecting, nil
	}
	return t.ConnectedFunc()
}

// Read implements wsk.Transport.
func (t *Transport) Read(dst [][]byte) (int, error) { return move(t.ReadFunc, dst) }

// Write implements wsk.Transport.
func (t *Transport) Write(src [][]byte) (int, error) { return move(t.WriteFunc, src) }

// Readable implements wsk.Transport.
func (t *Transport) Readable() int { return get(t.ReadableFunc) }

// IdealBacklog implements wsk.Transport.
func (t *Transport) IdealBacklog() int { return get(t.IdealBacklogFunc) }

// Unacknowledged implements wsk.Transport.
func (t *Transport) Unacknowledged() int { return get(t.UnacknowledgedFunc) }

// WakeWhenUnacknowledged implements wsk.Transport.
func (t *Transport) WakeWhenUnacknowledged(most int) {
	if t.WakeWhenUnacknowledgedFunc != nil {
		t.WakeWhenUnacknowledgedFunc(most)
	}
}

// CloseWrite implements wsk.Transport.
func (t *Transport) CloseWrite() error { return get(t.CloseWriteFunc) }

// WriteClosed implements wsk.Transport.
func (t *Transport) WriteClosed() bool { return get(t.WriteClosedFunc) }

// Err implements wsk.Transport.
func (t *Transport) Err() error { return get(t.ErrFunc) }

// LocalAddr implements wsk.Transport.
func (t *Transport) LocalAddr() netip.AddrPort { return get(t.LocalAddrFunc) }

// RemoteAddr implements wsk.Transport.
func (t *Transport) RemoteAddr() netip.AddrPort { return get(t.RemoteAddrFunc) }

// Close implements wsk.Transport.
func (t *Transport) Close() error { return get(t.CloseFunc) }

// Abort implements wsk.Transport.
func (t *Transport) Abort() {
	if t.AbortFunc != nil {
		t.AbortFunc()
	}
}

// SetNoDelay implements wsk.Transport.
func (t *Transport) SetNoDelay(on bool) error { return call1(t.SetNoDelayFunc, on) }

// SetKeepAlive implements wsk.Transport.
func (t *Transport) SetKeepAlive(on bool, idle, interval time.Duration, count int) error {
	if t.SetKeepAliveFunc == nil {
		return nil
	}
	return t.SetKeepAliveFunc(on, idle, interval, count)
}

// SetMaxSegment implements wsk.Transport.
func (t *Transport) SetMaxSegment(bytes int) error { return call1(t.SetMaxSegmentFunc, bytes) }

// MaxSegment implements wsk.Transport.
func (t *Transport) MaxSegment() (int, error) { return get2(t.MaxSegmentFunc) }

// SetV6Only implements wsk.Transport.
func (t *Transport) SetV6Only(on bool) error { return call1(t.SetV6OnlyFunc, on) }

// SetReceiveBuffer implements wsk.Transport.
func (t *Transport) SetReceiveBuffer(bytes int) error { return call1(t.SetReceiveBufferFunc, bytes) }

// ReceiveBuffer implements wsk.Transport.
func (t *Transport) ReceiveBuffer() (int, error) { return get2(t.ReceiveBufferFunc) }

// SetSendBuffer implements wsk.Transport.
func (t *Transport) SetSendBuffer(bytes int) error { return call1(t.SetSendBufferFunc, bytes) }

// SendBuffer implements wsk.Transport.
func (t *Transport) SendBuffer() (int, error) { return get2(t.SendBufferFunc) }

func call1[T any](f func(T) error, v T) error {
	if f == nil {
		return nil
	}
	return f(v)
}

func get[T any](f func() T) (zero T) {
	if f == nil {
		return zero
	}
	return f()
}

func get2(f func() (int, error)) (int, error) {
	if f == nil {
		return 0, nil
	}
	return f()
}

func move(f func([][]byte) (int, error), v [][]byte) (int, error) {
	if f == nil {
		return 0, syscall.EAGAIN
	}
	return f(v)
}

// SetInspect implements wsk.Inspector.
func (t *Transport) SetInspect(on bool) error { return can(t.SetInspectFunc, on) }

// NextRequest implements wsk.Inspector; without a function there is none.
func (t *Transport) NextRequest() (wsk.Request, error) {
	if t.NextRequestFunc == nil {
		return wsk.Request{}, syscall.EAGAIN
	}
	return t.NextRequestFunc()
}

// Decide implements wsk.Inspector; without a function there is no such request.
func (t *Transport) Decide(id wsk.RequestID, accept bool) error {
	if t.DecideFunc == nil {
		return syscall.ENOENT
	}
	return t.DecideFunc(id, accept)
}

// RequestID implements wsk.Inspector.
func (t *Transport) RequestID() (wsk.RequestID, bool) { return t.Request, t.Request != 0 }

// Silence implements wsk.Silencer.
func (t *Transport) Silence() (end func(), err error) {
	if t.SilenceFunc == nil {
		return nil, syscall.EOPNOTSUPP
	}
	return t.SilenceFunc()
}

// ServeFastOpen implements wsk.FastOpenServer.
func (t *Transport) ServeFastOpen(on bool) error { return call1(t.ServeFastOpenFunc, on) }

// ShareAddress implements wsk.Sharer.
func (t *Transport) ShareAddress(on bool) error { return call1(t.ShareAddressFunc, on) }

// SetTTL implements wsk.HeaderSetter.
func (t *Transport) SetTTL(hops int) error { return call1(t.SetTTLFunc, hops) }

// SetHopLimit implements wsk.HeaderSetter.
func (t *Transport) SetHopLimit(hops int) error { return call1(t.SetHopLimitFunc, hops) }

// SetTOS implements wsk.HeaderSetter.
func (t *Transport) SetTOS(tos int) error { return call1(t.SetTOSFunc, tos) }

// SetRetransmitLimit implements wsk.RetransmitLimiter.
func (t *Transport) SetRetransmitLimit(d time.Duration) error {
	return call1(t.SetRetransmitLimitFunc, d)
}

// can is call1 for what a transport without a function cannot do.
func can[T any](f func(T) error, v T) error {
	if f == nil {
		return syscall.EOPNOTSUPP
	}
	return f(v)
}
