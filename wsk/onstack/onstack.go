package onstack

import (
	"errors"
	"net/netip"
	"syscall"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
)

// Network returns the network that stands on s, for wsk.Provider.Start.
func Network(s *stack.Stack) wsk.Network { return network{s} }

type network struct{ stack *stack.Stack }

// NewTransport implements wsk.Network.
func (n network) NewTransport(v6 bool) (wsk.Transport, error) {
	name := "tcp4"
	if v6 {
		name = "tcp"
	}
	ep, err := n.stack.NewEndpoint(name)
	if err != nil {
		return nil, err
	}
	return &transport{Endpoint: ep, stack: n.stack}, nil
}

// Addresses implements wsk.AddressLister.
func (n network) Addresses() []netip.Addr { return n.stack.Addresses() }

// transport is an endpoint in the words of wsk. Its callers hold the socket's
// lock, which guards the fields.
type transport struct {
	*stack.Endpoint
	stack *stack.Stack
	up    bool               // the handshake was seen to be over
	fin   bool               // CloseWrite was called
	serve *fastopen.Listener // of ServeFastOpen
}

// Bind implements wsk.Transport.
func (t *transport) Bind(local netip.AddrPort) error { return t.Endpoint.Bind(noZone(local)) }

// Accept implements wsk.Transport.
func (t *transport) Accept() (wsk.Transport, error) {
	ep, err := t.Endpoint.Accept()
	if err != nil {
		return nil, err
	}
	return &transport{Endpoint: ep, stack: t.stack, up: true}, nil
}

// Connect implements wsk.Transport. With Fast Open the stack's own mode decides;
// without, there is none.
func (t *transport) Connect(remote netip.AddrPort, opts wsk.ConnectOptions) error {
	mode := fastopen.ModeOff
	if opts.FastOpen {
		mode = fastopen.ModeDefault
	}
	t.up = false
	return t.Endpoint.Connect(noZone(remote), stack.ConnectOptions{Data: opts.Data, FastOpen: mode, Timeout: opts.Timeout})
}

// Connected implements wsk.Transport.
func (t *transport) Connected() (wsk.Progress, error) {
	done, err := t.Endpoint.Connected()
	switch {
	case err != nil:
		// A handshake ends with ECONNREFUSED where the peer resets it.
		t.up = t.up || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	case done:
		t.up = true
		return wsk.ProgressDone, nil
	default:
		switch t.State() {
		case stack.StateClosed, stack.StateSynSent, stack.StateSynReceived:
		default:
			t.up = true
		}
	}
	if t.up {
		return wsk.ProgressEstablished, err
	}
	return wsk.ProgressConnecting, err
}

// Err implements wsk.Transport: a write of nothing tells whether the connection
// would take something. EPIPE is what it says behind our own FIN. It takes netstack's
// lock, and what arrives meanwhile has to wait, so it is not asked while TCP's state
// says that the connection lives.
func (t *transport) Err() error {
	if t.State() != stack.StateClosed {
		return nil
	}
	_, err := t.Write(nil)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// CloseWrite implements wsk.Transport.
func (t *transport) CloseWrite() error {
	t.fin = true
	return t.Endpoint.CloseWrite()
}

// WriteClosed implements wsk.Transport.
func (t *transport) WriteClosed() bool {
	switch t.State() {
	case stack.StateFinWait2, stack.StateTimeWait, stack.StateClosed:
		return t.fin
	default:
		return false
	}
}

// MaxSegment implements wsk.Transport.
func (*transport) MaxSegment() (int, error) { return 0, syscall.EOPNOTSUPP }

// ReceiveBuffer implements wsk.Transport.
func (t *transport) ReceiveBuffer() (int, error) { return t.ReceiveBufferSize(), nil }

// SendBuffer implements wsk.Transport.
func (t *transport) SendBuffer() (int, error) { return t.SendBufferSize(), nil }

// IdealBacklog implements wsk.Transport: what the send buffer holds, which netstack
// grows with the congestion window.
func (t *transport) IdealBacklog() int { return t.SendBufferSize() }

func noZone(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().WithZone(""), ap.Port())
}
