package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/wire"
)

// Names of the peers in reports.
const (
	peerKernel = "linux-kernel"
	peerSelf   = "wskstack"
)

// peer is the other end: a server with Fast Open that runs the service.
type peer interface {
	name() string
	text() string
	addr() netip.AddrPort
	// counters are the peer's own Fast Open counters.
	counters() (kernelpeer.Counters, error)
	// close ends the peer and waits for it.
	close() error
}

// pendingFastOpen is the limit of pending Fast Open connections of the peer.
const pendingFastOpen = 128

// startPeer starts the service at the far end of a wire.
func startPeer(w *wire.Wire, family int) (peer, error) {
	at := netip.AddrPortFrom(w.PeerAddr(family), 0)
	if w.Namespace == nil {
		return startSelf(w, at)
	}
	return startKernel(w, at)
}

// kernel is the Linux kernel in the wire's namespace.
type kernel struct {
	wire   *wire.Wire
	server *kernelpeer.Server
}

func startKernel(w *wire.Wire, at netip.AddrPort) (*kernel, error) {
	if err := kernelpeer.EnableFastOpen(w.Namespace); err != nil {
		return nil, err
	}
	server, err := kernelpeer.Listen(w.Namespace, kernelpeer.ServerConfig{
		Address: at, FastOpen: pendingFastOpen,
		Handler: func(s *kernelpeer.Stream) error { return serve(s, s) },
	})
	if err != nil {
		return nil, err
	}
	return &kernel{w, server}, nil
}

func (*kernel) name() string { return peerKernel }

func (*kernel) text() string {
	var uts unix.Utsname
	if unix.Uname(&uts) != nil {
		return "the Linux kernel"
	}
	return fmt.Sprintf("the Linux kernel %s, net.ipv4.tcp_fastopen = 3 in that namespace only", unix.ByteSliceToString(uts.Release[:]))
}

func (k *kernel) addr() netip.AddrPort { return k.server.Addr() }

func (k *kernel) counters() (kernelpeer.Counters, error) {
	return kernelpeer.ReadCounters(k.wire.Namespace)
}

func (k *kernel) close() error { return k.server.Close() }

// self is this stack's own server half, on the far end of a wire in memory.
type self struct {
	stack    *stack.Stack
	listener *fastopen.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup // the accepting goroutine and one per connection
	at       netip.AddrPort
}

func startSelf(w *wire.Wire, at netip.AddrPort) (_ *self, err error) {
	s, err := stack.New(stack.Config{Link: w.PeerLink, Addresses: w.PeerAddresses})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	ep, err := s.NewEndpoint(network(at.Addr()))
	if err != nil {
		return nil, err
	}
	if err := ep.Bind(at); err != nil {
		return nil, err
	}
	if err := ep.Listen(0); err != nil {
		return nil, err
	}
	p := &self{stack: s, at: ep.LocalAddr()}
	if p.listener, err = s.FastOpen().Listen(p.at, fastopen.ListenConfig{}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.running.Go(func() { p.accept(ctx, await.New(ep)) })
	return p, nil
}

// network is the name of a TCP endpoint's family.
func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// accept serves connections until the context ends.
func (p *self) accept(ctx context.Context, listening *await.Conn) {
	defer func() { _ = listening.Endpoint().Close() }()
	for {
		c, err := listening.Accept(ctx)
		if err != nil {
			return
		}
		p.running.Go(func() {
			// A connection that broke shows at the client, which checks the answer.
			_ = serve(c.Reader(ctx), c.Writer(ctx))
			_ = c.Endpoint().Close()
		})
	}
}

func (*self) name() string { return peerSelf }

func (*self) text() string { return "this stack's own server half, not the Linux kernel" }

func (p *self) addr() netip.AddrPort { return p.at }

// counters are those that Linux has as well, under the same names.
func (p *self) counters() (kernelpeer.Counters, error) {
	s := p.listener.Stats()
	return kernelpeer.Counters{
		Passive:        s.TCPFastOpenPassive,
		PassiveFail:    s.TCPFastOpenPassiveFail,
		ListenOverflow: s.TCPFastOpenListenOverflow,
		CookieReqd:     s.TCPFastOpenCookieReqd,
		PassiveAltKey:  s.TCPFastOpenPassiveAltKey,
	}, nil
}

func (p *self) close() error {
	p.cancel()
	p.running.Wait()
	p.listener.Close()
	return p.stack.Close()
}
