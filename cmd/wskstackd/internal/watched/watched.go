// Package watched is a network for WSK that tells what Fast Open did.
//
//	wsk.Provider ──► Network ──► onstack ──► stack
//	                    └ Outcome of the newest transport
//
// WSK has no call for that; the endpoint under a transport knows. The package has no
// goroutine; its lock is a leaf.
package watched

import (
	"sync"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/onstack"
)

// Network is a stack as WSK's network. It remembers its newest transport.
type Network struct {
	wsk.DatagramNetwork
	mu   sync.Mutex
	last wsk.Transport // guarded by mu
}

// New returns a network on a stack, which stays the caller's.
func New(s *stack.Stack) *Network {
	n := onstack.Network(s)
	return &Network{DatagramNetwork: n.(wsk.DatagramNetwork)} // a stack's has datagrams
}

// NewTransport implements wsk.Network.
func (n *Network) NewTransport(v6 bool) (wsk.Transport, error) {
	t, err := n.DatagramNetwork.NewTransport(v6)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = t
	return t, err
}

// Unwrap tells wsk what the network can do besides.
func (n *Network) Unwrap() any { return n.DatagramNetwork }

// Outcome is what Fast Open did for the newest transport, as far as it has come.
func (n *Network) Outcome() fastopen.Outcome {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t, ok := n.last.(interface{ FastOpenInfo() fastopen.Outcome }); ok {
		return t.FastOpenInfo()
	}
	return fastopen.Outcome{}
}
