package stack

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack/capture"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/explain"
	"github.com/wskstack/wskstack/stack/gate"
)

// Stack is a TCP/IP stack on one link. All methods may be called from any
// goroutine.
type Stack struct {
	cfg  Config
	ns   *gstack.Stack
	tap  *capture.Link  // above Config.Link
	gate *gate.Link     // below link, above tap
	link *fastopen.Link // what netstack has
	acks watchers

	vectors sync.Pool      // of *vector
	buffers sync.Pool      // of *[copyBuffer]byte
	workers sync.WaitGroup // the connects under way
	ended   chan struct{}  // closed when Close has done everything

	// alive ends when Close begins, and with it every dial.
	alive context.Context
	dying context.CancelFunc

	draining atomic.Int32 // how many Shutdowns want to know of changes

	// ports is held while an endpoint gives a port back and takes it again, and
	// by all that take ports, so that nobody comes in between. It is taken after
	// Endpoint.mu; netstack is called with it held.
	ports sync.Mutex
	held  heldPorts

	// mu guards what follows. It is a leaf: nothing is called with it held.
	mu        sync.Mutex
	closed    bool
	stopping  bool                       // by Shutdown: no listener is made any more
	sockets   map[*socket]struct{}       // every TCP endpoint of netstack's of ours that lives
	datagrams map[*Datagram]struct{}     // those that are not closed
	resolves  *net.Resolver              // made when it is first wanted
	drains    map[chan struct{}]struct{} // of the calls of Shutdown, which draining counts
	// inspected are the listeners that are asked before a handshake.
	inspected map[tcpip.Endpoint]*gate.Listener
}

// New makes a stack on cfg.Link and starts it. If it fails the link is closed.
func New(cfg Config) (*Stack, error) {
	if cfg.Link == nil {
		return nil, errors.New("stack: Config.Link is nil; give it the link that carries the packets")
	}
	cfg.fill()
	if err := cfg.check(); err != nil {
		discard(cfg.Link)
		return nil, err
	}
	s := &Stack{
		cfg:       cfg,
		ended:     make(chan struct{}),
		sockets:   make(map[*socket]struct{}),
		datagrams: make(map[*Datagram]struct{}),
		drains:    make(map[chan struct{}]struct{}),
		inspected: make(map[tcpip.Endpoint]*gate.Listener),
	}
	s.alive, s.dying = context.WithCancel(context.Background())
	var notes explain.Notes
	var err error
	s.tap, err = capture.New(cfg.Link, nil, capture.Config{Clock: cfg.Clock, Comments: &notes})
	if err == nil {
		s.gate, err = gate.New(s.tap, gate.Config{Clock: cfg.Clock, Find: s.inspectorOf, Reset: s.refuse})
	}
	if err == nil {
		cfg.FastOpen.OnStep = both(notes.Step, cfg.FastOpen.OnStep)
		s.link, err = fastopen.New(s.gate, cfg.FastOpen)
	}
	if err != nil {
		discard(cfg.Link)
		return nil, err
	}
	s.acks.start()
	s.ns = newNetstack(&s.cfg, s.acks.probe)
	err = configure(s.ns, &s.cfg)
	if err == nil {
		err = connectLink(s.ns, s.link, &s.cfg)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// discard ends a link that no stack took.
func discard(link gstack.LinkEndpoint) {
	link.Close()
	link.Wait()
}

// FastOpen is the Fast Open layer: its mode can be changed, its counters read.
func (s *Stack) FastOpen() *fastopen.Link { return s.link }

// Netstack is gVisor's stack, for what an Endpoint does not offer. Endpoints made
// with it are closed by Close as well. It must not be destroyed by others.
func (s *Stack) Netstack() *gstack.Stack { return s.ns }

// Close aborts every endpoint with a reset, closes the link and waits until no
// goroutine of the stack, of netstack or of the link is left. Endpoints answer
// net.ErrClosed from then on. Close may be called more than once, at the same
// time too; each call returns when all is done, with nil.
func (s *Stack) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	open := slices.Collect(maps.Keys(s.sockets))
	datagrams := slices.Collect(maps.Keys(s.datagrams))
	clear(s.datagrams)
	s.mu.Unlock()
	if !first {
		<-s.ended
		return nil
	}
	s.dying()
	for _, k := range open {
		k.end()
	}
	for _, d := range datagrams {
		d.end()
	}
	s.workers.Wait()
	// The link goes before netstack does: netstack would wait for the link's
	// goroutines with a lock held that those may want. It also keeps connections
	// in TIME-WAIT, which have ended properly, from sending resets.
	if err := s.ns.RemoveNIC(nicID); err != nil {
		s.link.Close() // the NIC was never made
	}
	s.link.Wait()
	s.ns.Destroy()
	close(s.ended)
	return nil
}

// add counts a socket among those that Close ends.
func (s *Stack) add(k *socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.sockets[k] = struct{}{}
	return nil
}

// allSockets are those that live now.
func (s *Stack) allSockets() []*socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.sockets))
}

// addDatagram counts a datagram socket among those that Close ends.
func (s *Stack) addDatagram(d *Datagram) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.datagrams[d] = struct{}{}
	return nil
}

func (s *Stack) forgetDatagram(d *Datagram) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.datagrams, d)
}

// isStopping says whether no listener may be made any more.
func (s *Stack) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping || s.closed
}

// forget is called when a socket has died.
func (s *Stack) forget(k *socket) {
	s.acks.remove(k)
	s.mu.Lock()
	delete(s.sockets, k)
	s.mu.Unlock()
	s.stir()
}

// work runs f on a goroutine that Close waits for.
func (s *Stack) work(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.workers.Go(func() { grow(); f() })
	return nil
}

func (s *Stack) debug(msg string, args ...any) {
	if s.cfg.Logger != nil {
		s.cfg.Logger.Debug(msg, args...)
	}
}

// newTCP makes a TCP endpoint for a socket.
func (s *Stack) newTCP(proto tcpip.NetworkProtocolNumber, k *socket) (tcpip.Endpoint, error) {
	ep, err := s.ns.NewEndpoint(tcp.ProtocolNumber, proto, k.queue)
	if err != nil {
		return nil, toErrno(err)
	}
	return ep, nil
}
