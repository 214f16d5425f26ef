package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/test/relay"
	"github.com/wskstack/wskstack/test/wire"
)

// rig is all that the runs use, from the socket layer to the peer.
type rig struct {
	opts  Options
	wire  *wire.Wire
	peer  peer
	relay *relay.Link
	seen  relay.Recorder
	stack *stack.Stack
	wsk   *wskClient
	// service is the stack's own, for the run in which it is the server.
	service *service
	// traces are of all connections that were made.
	traces []ladder.Trace
	// served are of those in which the peer was the client.
	served []ladder.Trace
	// undo closes what was opened, in the order of opening.
	undo []func() error
}

// build makes a rig on an open wire, which it takes over. If it fails everything
// is closed.
func build(w *wire.Wire, o Options) (_ *rig, err error) {
	r := &rig{opts: o, wire: w}
	r.later(w.Close)
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if !w.PeerAddr(o.Family).IsValid() {
		return nil, fault.New(fault.ErrUnavailable, "this kernel has no IPv6: use --family 4")
	}
	if r.peer, err = startPeer(w, o.Family); err != nil {
		return nil, fmt.Errorf("starting the peer: %w", err)
	}
	r.later(r.peer.close)
	r.relay, err = relay.New(w.Link, relay.Config{DownDelay: o.Delay, UpDelay: o.Delay, Observe: r.seen.Observe})
	if err != nil {
		return nil, err
	}
	if r.stack, err = stack.New(stack.Config{Link: r.relay, Addresses: w.StackAddresses}); err != nil {
		return nil, fmt.Errorf("starting the stack: %w", err)
	}
	r.later(r.stack.Close)
	if err = r.capture(); err != nil {
		return nil, err
	}
	if r.wsk, err = newWSKClient(r.stack); err != nil {
		return nil, err
	}
	r.later(r.wsk.close)
	if r.service, err = startService(r.stack, r.onWire(0)); err != nil {
		return nil, fmt.Errorf("starting the service: %w", err)
	}
	r.later(func() error { r.service.close(); return nil })
	return r, nil
}

// capture writes the stack's packets to a file, if that is wanted. They are taken right
// below the Fast Open layer, at the client's end of the path, so the file has also what
// the path drops.
func (r *rig) capture() error {
	if r.opts.Pcap == "" {
		return nil
	}
	file, err := os.Create(r.opts.Pcap)
	if err != nil {
		return fmt.Errorf("the capture cannot be written, choose another file for --pcap: %w", err)
	}
	r.later(file.Close)
	ctx, cancel := context.WithCancel(context.Background())
	wait, err := r.stack.CapturePcap(ctx, file)
	if err != nil {
		cancel()
		return fmt.Errorf("the capture cannot be written to %s: %w", r.opts.Pcap, err)
	}
	r.later(func() error {
		cancel()
		return wait()
	})
	return nil
}

func (r *rig) later(f func() error) { r.undo = append(r.undo, f) }

// close closes everything, newest first.
func (r *rig) close() error {
	var errs []error
	for i := len(r.undo) - 1; i >= 0; i-- {
		errs = append(errs, r.undo[i]())
	}
	r.undo = nil
	return errors.Join(errs...)
}

// rtt is the round trip that the relay makes.
func (r *rig) rtt() time.Duration { return 2 * r.opts.Delay }

// onWire is the stack's address with a port, as packets have it.
func (r *rig) onWire(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(r.wire.StackAddr(r.opts.Family), port)
}
