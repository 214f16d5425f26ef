package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/await"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/wire"
)

// Names of the peers in reports.
const (
	peerKernel = "linux-kernel"
	peerSelf   = "wskstack"
)

// peer is the other end: a server with Fast Open that runs the service, and a
// client of the same service here.
type peer interface {
	name() string
	text() string
	addr() netip.AddrPort
	// ask connects with the question as the first bytes, if there is a cookie in
	// the SYN, and reads the whole answer.
	ask(ctx context.Context, to netip.AddrPort, question []byte) (asked, error)
	// counters are the peer's own Fast Open counters.
	counters() (kernelpeer.Counters, error)
	// close ends the peer and waits for it.
	close() error
}

// asked is what a peer says of a connection that it made.
type asked struct {
	local  netip.AddrPort
	answer []byte
	// ttfb is the time from the call that connects to the first byte of the answer.
	ttfb time.Duration
	// inSYN: the peer knows that its data in the SYN was acknowledged; judge is how.
	inSYN bool
	judge string
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

func (k *kernel) ask(ctx context.Context, to netip.AddrPort, question []byte) (_ asked, err error) {
	begin := time.Now()
	conn, err := kernelpeer.Dial(ctx, k.wire.Namespace, kernelpeer.ClientConfig{
		Remote: to, Method: kernelpeer.SendTo, Data: question,
	})
	if err != nil {
		return asked{}, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(begin) })()
	got, first, err := readAll(conn.Read)
	if err != nil {
		return asked{}, errors.Join(err, context.Cause(ctx))
	}
	info, err := conn.Info()
	return asked{
		local: conn.LocalAddr().(*net.TCPAddr).AddrPort(), answer: got, ttfb: first.Sub(begin),
		inSYN: info.SYNData, judge: "the kernel's TCP_INFO has TCPI_OPT_SYN_DATA",
	}, err
}

func (k *kernel) counters() (kernelpeer.Counters, error) {
	return kernelpeer.ReadCounters(k.wire.Namespace)
}

func (k *kernel) close() error { return k.server.Close() }

// self is this stack's own other half, on the far end of a wire in memory.
type self struct {
	stack   *stack.Stack
	service *service
}

func startSelf(w *wire.Wire, at netip.AddrPort) (*self, error) {
	s, err := stack.New(stack.Config{Link: w.PeerLink, Addresses: w.PeerAddresses})
	if err != nil {
		return nil, err
	}
	service, err := startService(s, at)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &self{s, service}, nil
}

func (*self) name() string { return peerSelf }

func (*self) text() string { return "this stack's own other half, not the Linux kernel" }

func (p *self) addr() netip.AddrPort { return p.service.at }

func (p *self) ask(ctx context.Context, to netip.AddrPort, question []byte) (asked, error) {
	ep, err := p.stack.NewEndpoint(network(to.Addr()))
	if err != nil {
		return asked{}, err
	}
	c := await.New(ep)
	defer ep.Abort() // does nothing after a Close
	begin := time.Now()
	if err := c.Connect(ctx, to, stack.ConnectOptions{Data: question}); err != nil {
		return asked{}, err
	}
	local := ep.LocalAddr()
	got, first, err := readAll(func(b []byte) (int, error) { return c.Read(ctx, b) })
	if err != nil {
		return asked{}, err
	}
	o := ep.FastOpenInfo()
	return asked{
		local: local, answer: got, ttfb: first.Sub(begin), inSYN: o.BytesAccepted == len(question),
		judge: "its Fast Open layer says so (there is no kernel on this wire, and so no TCP_INFO)",
	}, ep.Close()
}

// counters are those that Linux has as well, under the same names.
func (p *self) counters() (kernelpeer.Counters, error) {
	s := p.service.listener.Stats()
	client := p.stack.FastOpen().Stats()
	return kernelpeer.Counters{
		Active:         client.TCPFastOpenActive,
		ActiveFail:     client.TCPFastOpenActiveFail,
		Passive:        s.TCPFastOpenPassive,
		PassiveFail:    s.TCPFastOpenPassiveFail,
		ListenOverflow: s.TCPFastOpenListenOverflow,
		CookieReqd:     s.TCPFastOpenCookieReqd,
		PassiveAltKey:  s.TCPFastOpenPassiveAltKey,
	}, nil
}

func (p *self) close() error {
	p.service.close()
	return p.stack.Close()
}
