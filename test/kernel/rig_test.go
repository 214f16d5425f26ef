package kernel

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/relay"
	"github.com/wskstack/wskstack/test/wire"
)

// A rig is a stack on a TUN whose peer is the kernel, with a relay between.
type rig struct {
	t      *testing.T
	family int
	wire   *wire.Wire
	relay  *relay.Link
	record *relay.Recorder
	stack  *stack.Stack
	ctx    context.Context
}

const patience = 30 * time.Second

func newRig(t *testing.T, family, mtu int) *rig {
	t.Helper()
	return newRigWith(t, family, mtu, func(*stack.Config) {})
}

// newRigWith is newRig with a stack that change has configured. Its link is the relay.
func newRigWith(t *testing.T, family, mtu int, change func(*stack.Config)) *rig {
	t.Helper()
	w, err := wire.Open(wire.TUN, wire.Config{MTU: mtu})
	netnstest.Require(t, err)
	r := &rig{t: t, family: family, wire: w, record: new(relay.Recorder)}
	t.Cleanup(func() { check(t, w.Close()) })
	check(t, kernelpeer.EnableFastOpen(w.Namespace))
	r.relay, err = relay.New(w.Link, relay.Config{Observe: r.record.Observe})
	check(t, err)
	cfg := stack.Config{Link: r.relay, Addresses: w.StackAddresses}
	change(&cfg)
	r.stack, err = stack.New(cfg)
	check(t, err)
	t.Cleanup(func() { check(t, r.stack.Close()) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	r.ctx = ctx
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// families runs a test over IPv4 and IPv6.
func families(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	for _, family := range []int{4, 6} {
		t.Run(map[int]string{4: "IPv4", 6: "IPv6"}[family], func(t *testing.T) { f(t, newRig(t, family, 1500)) })
	}
}

// listen starts a kernel server that reads n bytes and answers each time.
func (r *rig) listen(fastOpen, n int) *kernelpeer.Server {
	r.t.Helper()
	return r.serve(kernelpeer.ServerConfig{FastOpen: fastOpen, Handler: kernelpeer.Answer(n, []byte("answer"))})
}

func (r *rig) serve(cfg kernelpeer.ServerConfig) *kernelpeer.Server {
	r.t.Helper()
	cfg.Address = netip.AddrPortFrom(r.wire.PeerAddr(r.family), 0)
	srv, err := kernelpeer.Listen(r.wire.Namespace, cfg)
	check(r.t, err)
	r.t.Cleanup(func() { check(r.t, srv.Close()) })
	return srv
}

func (r *rig) counters() kernelpeer.Counters {
	r.t.Helper()
	c, err := kernelpeer.ReadCounters(r.wire.Namespace)
	check(r.t, err)
	return c
}

// client is one connection of the stack's.
type client struct {
	r    *rig
	ep   *stack.Endpoint
	wake chan struct{}
}

func (r *rig) start(to netip.AddrPort, data string) *client {
	r.t.Helper()
	ep, err := r.stack.NewEndpoint(map[int]string{4: "tcp4", 6: "tcp6"}[r.family])
	check(r.t, err)
	c := &client{r: r, ep: ep, wake: make(chan struct{}, 1)}
	ep.SetWake(func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	})
	check(r.t, ep.Connect(to, stack.ConnectOptions{Data: []byte(data)}))
	return c
}

// wait calls try until it is done.
func (c *client) wait(try func() (bool, error)) error {
	for {
		if done, err := try(); done || err != nil && !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		select {
		case <-c.wake:
		case <-c.r.ctx.Done():
			return c.r.ctx.Err()
		}
	}
}

func (c *client) connected() error { return c.wait(c.ep.Connected) }

// read reads n bytes.
func (c *client) read(n int) string {
	c.r.t.Helper()
	b, got := make([]byte, n), 0
	check(c.r.t, c.wait(func() (bool, error) {
		m, err := c.ep.Read([][]byte{b[got:]})
		got += m
		return got == n, err
	}))
	return string(b)
}

// end closes in good order: FIN, then the peer's.
func (c *client) end() {
	c.r.t.Helper()
	check(c.r.t, c.ep.CloseWrite())
	err := c.wait(func() (bool, error) {
		_, err := c.ep.Read([][]byte{make([]byte, 16)})
		return false, err
	})
	if !errors.Is(err, io.EOF) {
		c.r.t.Errorf("the end: %v", err)
	}
	check(c.r.t, c.ep.Close())
}

// exchange does a whole connection: data, answer, end.
func (r *rig) exchange(to netip.AddrPort, data string) fastopen.Outcome {
	r.t.Helper()
	c := r.start(to, data)
	check(r.t, c.connected())
	if got := c.read(6); got != "answer" {
		r.t.Fatalf("read %q", got)
	}
	o := c.ep.FastOpenInfo()
	c.end()
	return o
}

func (r *rig) want(o fastopen.Outcome, inSYN, accepted int, why fastopen.Reason) {
	r.t.Helper()
	if o.BytesInSYN != inSYN || o.BytesAccepted != accepted || o.Reason != why {
		r.t.Errorf("%d in the SYN, %d accepted, reason %q; want %d, %d, %q",
			o.BytesInSYN, o.BytesAccepted, o.Reason, inSYN, accepted, why)
	}
}

// syns are the SYNs of ours that reached the wire since the last call.
func (r *rig) syns() []seg.Segment {
	var all []seg.Segment
	for _, e := range r.record.Reset() {
		s, err := seg.Parse(e.Bytes)
		if err == nil && e.Direction == relay.Down && e.Place == relay.AtWire && s.Flags()&(seg.SYN|seg.ACK) == seg.SYN {
			all = append(all, s)
		}
	}
	return all
}

func text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i*7%26)
	}
	return string(b)
}

const none = tfo.ReasonNone
