package wsktest

import (
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/wskstack/wskstack/wsk"
)

// EphemeralPort is the port that a Peer's transport gets when it is bound to
// port 0.
const EphemeralPort = 49152

// Peer is a model of a TCP connection: one end is its Transport, the other is
// played by the test. Nothing happens unless the test says so: a connect waits
// for Accept or Refuse, bytes stay unacknowledged until Ack. The zero value is not
// usable; see NewPeer.
type Peer struct {
	// Transport is this end; give it to a socket through a Network.
	Transport *Transport

	mu          sync.Mutex // a leaf; guards all below
	local       netip.AddrPort
	remote      netip.AddrPort
	backlog     int     // of Listen
	waiting     []*Peer // connections that Accept has not taken
	opts        wsk.ConnectOptions
	connecting  bool
	progress    wsk.Progress
	err         error
	ideal       int    // what IdealBacklog answers
	window      int    // bytes that Write takes until it grows again; -1: no limit
	received    []byte // from the transport, in order
	acked       int
	wanted      int    // the value of acked that the owner is to be woken for; 0: none
	inbound     []byte // to the transport
	fin         bool   // after inbound
	finReceived bool
	finAcked    bool
	closed      bool
	aborted     bool
}

// NewPeer returns a Peer and its Transport, with no limit to what Write takes.
func NewPeer() *Peer {
	p := &Peer{window: -1}
	p.Transport = &Transport{
		BindFunc: p.bind, ListenFunc: p.listen, AcceptFunc: p.accept, ConnectFunc: p.connect, ConnectedFunc: p.connected,
		ReadFunc: p.read, ReadableFunc: p.readable, IdealBacklogFunc: p.idealBacklog, WriteFunc: p.write, UnacknowledgedFunc: p.unacknowledged, WakeWhenUnacknowledgedFunc: p.wakeWhenUnacknowledged,
		CloseWriteFunc: p.closeWrite, WriteClosedFunc: p.writeClosed, ErrFunc: p.failure,
		LocalAddrFunc: p.localAddr, RemoteAddrFunc: p.remoteAddr,
		CloseFunc: p.close, AbortFunc: p.abort,
	}
	return p
}

// change does something to the model and wakes the transport's owner.
func (p *Peer) change(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.Transport.Wake()
}

// Accept completes the handshake and takes all of the connect's data, without
// acknowledging it.
func (p *Peer) Accept() {
	p.change(func() {
		p.progress = wsk.ProgressDone
		p.received = append(p.received, p.opts.Data...)
	})
}

// Arrive connects to the listening transport from remote and returns the far end of
// the new connection, which waits until it is accepted. prepare is called before it can
// be, to set functions of its transport.
func (p *Peer) Arrive(remote netip.AddrPort, prepare ...func(far *Peer)) *Peer {
	q := NewPeer()
	q.local, q.remote, q.progress = p.localAddr(), remote, wsk.ProgressDone
	for _, f := range prepare {
		f(q)
	}
	p.change(func() { p.waiting = append(p.waiting, q) })
	return q
}

// Establish completes the handshake but leaves the connect's data on its way.
func (p *Peer) Establish() { p.change(func() { p.progress = wsk.ProgressEstablished }) }

// Refuse fails the connect with err.
func (p *Peer) Refuse(err error) { p.change(func() { p.err = err }) }

// Fail breaks the connection with err, ECONNRESET for a RST.
func (p *Peer) Fail(err error) { p.Refuse(err) }

// Deliver sends bytes to the transport.
func (p *Peer) Deliver(data []byte) {
	p.change(func() { p.inbound = append(p.inbound, data...) })
}

// FIN sends a FIN after everything delivered.
func (p *Peer) FIN() { p.change(func() { p.fin = true }) }

// Ack acknowledges n bytes more. The transport's owner is woken if it has asked for
// that, and not otherwise.
func (p *Peer) Ack(n int) {
	p.mu.Lock()
	p.acked = min(p.acked+n, len(p.received))
	reached := p.reached()
	p.mu.Unlock()
	if reached {
		p.Transport.Wake()
	}
}

// AckAll acknowledges everything received, and a FIN.
func (p *Peer) AckAll() {
	p.Ack(math.MaxInt32)
	p.mu.Lock()
	fin := p.finReceived && !p.finAcked
	p.finAcked = p.finReceived
	p.mu.Unlock()
	if fin {
		p.Transport.Wake()
	}
}

// reached says, once, that the owner is to be woken. Precondition: p.mu is held.
func (p *Peer) reached() bool {
	if p.wanted == 0 || p.acked < p.wanted {
		return false
	}
	p.wanted = 0
	return true
}

// SetWindow makes Write take n bytes more and then nothing; -1: no limit.
func (p *Peer) SetWindow(n int) { p.change(func() { p.window = n }) }

// SetIdealBacklog changes what the transport takes for the ideal send backlog, 0
// from the start.
func (p *Peer) SetIdealBacklog(n int) { p.change(func() { p.ideal = n }) }

// Received returns the bytes received so far.
func (p *Peer) Received() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]byte(nil), p.received...)
}

// Seen is a snapshot of what the transport was told.
type Seen struct {
	Local, Remote netip.AddrPort
	Options       wsk.ConnectOptions
	Backlog       int  // what Listen was called with
	Waiting       int  // connections that wait to be accepted
	Connecting    bool // Connect was called
	FIN           bool // CloseWrite was called
	Closed        bool
	Aborted       bool
	Undelivered   int // bytes that nobody has read
}

// Seen returns what the transport was told so far.
func (p *Peer) Seen() Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Seen{
		Backlog: p.backlog, Waiting: len(p.waiting),
		Local: p.local, Remote: p.remote, Options: p.opts, Connecting: p.connecting,
		FIN: p.finReceived, Closed: p.closed, Aborted: p.aborted, Undelivered: len(p.inbound),
	}
}

func (p *Peer) bind(local netip.AddrPort) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), EphemeralPort)
	}
	p.local = local
	return nil
}

func (p *Peer) listen(backlog int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backlog = backlog
	return nil
}

func (p *Peer) accept() (wsk.Transport, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.gone(); err != nil {
		return nil, err
	}
	if len(p.waiting) == 0 {
		return nil, syscall.EAGAIN
	}
	q := p.waiting[0]
	p.waiting = p.waiting[1:]
	return q.Transport, nil
}

func (p *Peer) connect(remote netip.AddrPort, opts wsk.ConnectOptions) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connecting, p.remote, p.opts = true, remote, opts
	return nil
}

func (p *Peer) connected() (wsk.Progress, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.progress, p.gone()
}

// gone is why nothing works any more. Precondition: p.mu is held.
func (p *Peer) gone() error {
	if p.closed || p.aborted {
		return net.ErrClosed
	}
	return p.err
}

func (p *Peer) read(dst [][]byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.gone(); err != nil {
		return 0, err
	}
	n := 0
	for _, d := range dst {
		k := copy(d, p.inbound)
		p.inbound = p.inbound[k:]
		n += k
	}
	switch {
	case n > 0:
		return n, nil
	case p.fin && len(p.inbound) == 0:
		return 0, io.EOF
	}
	return 0, syscall.EAGAIN
}

func (p *Peer) readable() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inbound)
}

func (p *Peer) idealBacklog() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ideal
}

func (p *Peer) write(src [][]byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.gone(); err != nil {
		return 0, err
	}
	if p.finReceived {
		return 0, syscall.EPIPE
	}
	n := 0
	for _, s := range src {
		if p.window >= 0 {
			s = s[:min(len(s), p.window)]
			p.window -= len(s)
		}
		p.received = append(p.received, s...)
		n += len(s)
	}
	if n == 0 {
		return 0, syscall.EAGAIN
	}
	return n, nil
}

func (p *Peer) unacknowledged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.received) - p.acked
}

func (p *Peer) wakeWhenUnacknowledged(most int) {
	p.mu.Lock()
	p.wanted = len(p.received) - most
	reached := p.reached()
	p.mu.Unlock()
	if reached {
		p.Transport.Wake()
	}
}

func (p *Peer) closeWrite() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finReceived = true
	return p.gone()
}

func (p *Peer) writeClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.finAcked
}

func (p *Peer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone()
}

func (p *Peer) localAddr() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.local
}

func (p *Peer) remoteAddr() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remote
}

func (p *Peer) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

func (p *Peer) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aborted = true
}
