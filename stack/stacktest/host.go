package stacktest

import (
	"fmt"
	"net/netip"
	"sync"

	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack"
)

// Host is a stack on the wire.
type Host struct {
	*Port
	// Stack is the stack. Close it through the Host.
	Stack *stack.Stack

	closing sync.Once
}

// Host makes a stack and plugs it in. cfg.Addresses are its own; its link, clock,
// random numbers and WakeWorker are the simulation's, whatever cfg says of them.
func (n *Net) Host(name string, line LineConfig, cfg stack.Config) *Host {
	n.t.Helper()
	return n.HostOver(name, line, cfg, nil)
}

// HostOver is Host with a link endpoint of the caller's between stack and wire,
// which wrap makes around the Port. Nil: none.
func (n *Net) HostOver(name string, line LineConfig, cfg stack.Config, wrap func(*Port) gstack.LinkEndpoint) *Host {
	n.t.Helper()
	addrs := make([]netip.Addr, 0, len(cfg.Addresses))
	for _, a := range cfg.Addresses {
		addrs = append(addrs, a.Addr())
	}
	p := n.plug(name, line, addrs)
	random := newSource(n.cfg.Seed ^ digestText(name) ^ uint64(p.number))
	cfg.Link, cfg.Clock = p, p.Clock()
	if wrap != nil {
		cfg.Link = wrap(p)
	}
	cfg.SecureRandom, cfg.RandSource = random, random
	cfg.WakeWorker = n.inTurn
	cfg.FastOpen.Clock, cfg.FastOpen.Server.Random = nil, random
	s, err := stack.New(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	p.Guard(s.Netstack())
	h := &Host{Port: p, Stack: s}
	n.mu.Lock()
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()
	return h
}

// Close ends the stack at once, as if the machine had lost its power: nothing
// leaves any more. Its addresses stay those of its line until another node takes
// them. It may be called more than once.
func (h *Host) Close() {
	h.closing.Do(func() {
		h.Release()
		if err := h.Stack.Close(); err != nil {
			h.net.t.Errorf("stacktest: closing %s: %v", h.name, err)
		}
	})
}

// Leftovers lists what a stack still holds: sockets, netstack's endpoints, and
// openings of the Fast Open layer. Ten minutes after the last Close there is
// nothing.
func (h *Host) Leftovers() []string {
	var left []string
	if n := h.Stack.Stats().Sockets; n > 0 {
		left = append(left, fmt.Sprintf("%s: %d sockets", h.name, n))
	}
	ns := h.Stack.Netstack()
	for _, e := range ns.RegisteredEndpoints() {
		left = append(left, fmt.Sprintf("%s: a registered endpoint%s", h.name, describe(e)))
	}
	for _, e := range ns.CleanupEndpoints() {
		left = append(left, fmt.Sprintf("%s: an endpoint that netstack is cleaning up%s", h.name, describe(e)))
	}
	if s := h.Stack.FastOpen().Stats(); s.Openings > 0 {
		left = append(left, fmt.Sprintf("%s: %d openings in the Fast Open layer", h.name, s.Openings))
	}
	return left
}

func describe(e gstack.TransportEndpoint) string {
	if s, ok := e.(interface{ State() uint32 }); ok {
		return fmt.Sprintf(" in state %d", s.State())
	}
	return ""
}
