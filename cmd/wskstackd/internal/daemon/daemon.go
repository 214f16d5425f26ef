package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/metrics"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/nat"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/pump"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/rundir"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun"
)

// daemon is one run. What is not said to be otherwise is set before it serves and
// not changed then.
type daemon struct {
	opts Options
	log  *slog.Logger

	net      network
	resolver resolver
	guard    guard

	gate     gate
	full     atomic.Bool // it was said that there are too many
	requests metrics.Requests
	services [3]metrics.Service // proxy, forward, expose

	// What Run has opened.
	dir    *rundir.Dir
	wire   wire
	device *tun.Device
	link   *iolink.Link
	stack  *stack.Stack
	ports  []port
	// broken gets the error by which the device ended.
	broken chan error
	// undo takes back what was opened, newest last.
	undo []func() error
}

// errStopped is why connections are cut at the end.
var errStopped = errors.New("the daemon stops")

// Run serves until the context ends, and then until all connections have ended, but
// not longer than Options.Drain, nor than hurry lasts. It is nil if it was asked to
// end, and has left nothing behind.
func Run(ctx, hurry context.Context, o Options, log *slog.Logger) error {
	d := newDaemon(o, log)
	if err := d.start(ctx); err != nil {
		return errors.Join(err, d.close())
	}
	err := d.run(ctx, hurry)
	if cerr := d.close(); cerr != nil {
		return errors.Join(err, cerr)
	}
	if err == nil {
		log.Info("stopped")
	}
	return err
}

func newDaemon(o Options, log *slog.Logger) *daemon {
	d := &daemon{opts: o, log: log, broken: make(chan error, 1), gate: gate{limit: int64(o.MaxConnections)}}
	for i, name := range []string{"proxy", "forward", "expose"} {
		d.services[i].Name = name
	}
	return d
}

func (d *daemon) later(f func() error) { d.undo = append(d.undo, f) }

// close takes back what was opened, newest first.
func (d *daemon) close() error {
	var errs []error
	for i := len(d.undo) - 1; i >= 0; i-- {
		errs = append(errs, d.undo[i]())
	}
	d.undo = nil
	return errors.Join(errs...)
}

// undos are how the journal's changes are taken back.
func undos() map[string]rundir.Undo {
	m := nat.Undo()
	maps.Copy(m, map[string]rundir.Undo{kindDevice: undoDevice})
	return m
}

// start opens everything, up to the listeners.
func (d *daemon) start(ctx context.Context) (err error) {
	if d.dir, err = rundir.Open(d.opts.RuntimeDir); err != nil {
		return err
	}
	d.later(d.dir.Close)
	n, err := d.dir.Recover(undos())
	if err != nil {
		return fmt.Errorf("taking back what an earlier daemon has left: %w", err)
	}
	if n > 0 {
		d.log.Warn("took back what a daemon that was killed had left", slog.Int("changes", n))
	}
	d.later(func() error { return d.dir.TakeBack(undos()) })
	if err := d.openStack(); err != nil {
		return err
	}
	if err := d.translate(); err != nil {
		return err
	}
	return d.listen(ctx)
}

// openStack joins the host's network.
func (d *daemon) openStack() (err error) {
	if d.wire, err = makeWire(d.opts.Links); err != nil {
		return err
	}
	if err := d.wire.checkExposes(d.opts.Exposes); err != nil {
		return err
	}
	if err := recordDevice(d.dir, d.opts.Device, d.wire.host); err != nil {
		return err
	}
	d.device, err = tun.Open(tun.Config{Name: d.opts.Device, Addresses: d.wire.host, NoOffload: d.opts.NoOffload, Logger: d.log})
	if err != nil {
		return err
	}
	// The stack closes it first; this is for its error, and for a stack that does
	// not come to be.
	d.later(d.device.Close)
	d.link, err = iolink.New(d.device, iolink.Config{Logger: d.log, NoJoin: d.opts.NoOffload, OnReadFailure: func(_ int, err error) {
		select {
		case d.broken <- err:
		default: // one is enough
		}
	}})
	if err != nil {
		return err
	}
	mode := fastopen.ModeOn
	if !d.opts.FastOpen {
		mode = fastopen.ModeOff
	}
	d.stack, err = stack.New(stack.Config{
		Link: d.link, Addresses: d.wire.own, NameServers: d.opts.DNS,
		FastOpen: fastopen.Config{Mode: mode}, ConnectTimeout: d.opts.ConnectTimeout, Logger: d.log,
	})
	if err != nil {
		return err
	}
	d.later(d.stack.Close)
	own := d.wire.ownAddrs()
	d.net, d.guard = onStack{d.stack, own}, newGuard(own, d.opts.Deny)
	d.resolver = net.DefaultResolver
	if len(d.opts.DNS) > 0 {
		d.resolver = d.stack.Resolver()
	}
	return nil
}

// translate starts NAT, if it is wanted.
func (d *daemon) translate() error {
	if !d.opts.NAT {
		return nil
	}
	r, err := nat.Start(nat.Config{Device: d.device.Name(), Addresses: d.wire.ownAddrs()}, d.dir)
	if err != nil {
		return err
	}
	d.log.Info("forwarding", slog.Bool("ipv4", r.IPv4), slog.Bool("ipv6", r.IPv6))
	if r.WhyNoIPv6 != "" {
		d.log.Warn("IPv6 is not forwarded", slog.String("reason", r.WhyNoIPv6))
	}
	return nil
}

// listen opens all listeners. None accepts before all are there.
func (d *daemon) listen(ctx context.Context) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // half-closing is TCP's own
	proxies, forwards, exposes := &d.services[0], &d.services[1], &d.services[2]
	add := func(l net.Listener, s *metrics.Service, serve func(context.Context, pump.Conn)) {
		d.later(func() error { return closed(l.Close()) })
		d.ports = append(d.ports, port{l, s, serve})
	}
	for _, p := range d.opts.Proxies {
		l, err := lc.Listen(ctx, "tcp", p.Address.String())
		if err != nil {
			return listenError("--listen", p.Address, err)
		}
		add(l, proxies, func(ctx context.Context, c pump.Conn) { d.proxied(ctx, c, p.Wait, proxies) })
		d.log.Info("proxy", slog.String("listen", l.Addr().String()), slog.String("wait", p.Wait.String()))
	}
	for _, f := range d.opts.Forwards {
		l, err := lc.Listen(ctx, "tcp", f.Address.String())
		if err != nil {
			return listenError("--forward", f.Address, err)
		}
		add(l, forwards, func(ctx context.Context, c pump.Conn) { d.forwarded(ctx, c, f, forwards) })
		d.log.Info("forward", slog.String("listen", l.Addr().String()), slog.String("to", f.To.String()), slog.String("wait", f.Wait.String()))
	}
	for _, e := range d.opts.Exposes {
		l, err := d.exposeListener(e.At)
		if err != nil {
			return listenError("--expose", e.At, err)
		}
		add(l, exposes, func(ctx context.Context, c pump.Conn) { d.exposed(ctx, c, e, exposes) })
		d.log.Info("expose", slog.String("listen", l.Addr().String()), slog.String("to", e.To.String()))
	}
	return d.listenMetrics(ctx, &lc)
}

// exposeListener listens on the stack.
func (d *daemon) exposeListener(at netip.AddrPort) (net.Listener, error) {
	lc := stack.ListenConfig{Stack: d.stack}
	if d.opts.FastOpen {
		lc.FastOpen = &fastopen.ListenConfig{}
	}
	l, err := lc.ListenTCP("tcp", at)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// run serves until the end, and drains.
func (d *daemon) run(ctx, hurry context.Context) error {
	serving, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(errStopped)
	var accepting sync.WaitGroup
	for _, p := range d.ports {
		accepting.Go(func() { d.accept(serving, p) })
	}
	d.log.Info("ready", slog.String("device", d.device.Name()), slog.Bool("offload", d.device.Offloads().Checksum), slog.Any("host", d.wire.host), slog.Any("stack", d.wire.ownAddrs()))
	var err error
	select {
	case <-ctx.Done():
	case why := <-d.broken:
		err = fmt.Errorf("the device %s has failed: %w", d.device.Name(), why)
		cut(err)
	}
	for _, p := range d.ports {
		_ = p.Close()
	}
	if err == nil {
		d.drain(hurry, cut)
	}
	accepting.Wait() // before the gate: it lets nobody in any more
	d.gate.all.Wait()
	return err
}

// closed is nil for what was closed already.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
