package wskrun

import (
	"sync"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/onstack"
)

// watched is a network that remembers its newest transport: WSK has no call that tells
// what Fast Open did, the endpoint under the transport does.
type watched struct {
	wsk.DatagramNetwork
	mu   sync.Mutex
	last wsk.Transport // guarded by mu
}

func watch(s *stack.Stack) *watched {
	return &watched{DatagramNetwork: onstack.Network(s).(wsk.DatagramNetwork)}
}

// NewTransport implements wsk.Network.
func (n *watched) NewTransport(v6 bool) (wsk.Transport, error) {
	t, err := n.DatagramNetwork.NewTransport(v6)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = t
	return t, err
}

// Unwrap tells wsk what the network can do besides.
func (n *watched) Unwrap() any { return n.DatagramNetwork }

// inSYN is what rode in the SYN of the newest transport.
func (n *watched) inSYN() (sent, accepted int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t, ok := n.last.(interface{ FastOpenInfo() fastopen.Outcome }); ok {
		o := t.FastOpenInfo()
		return o.BytesInSYN, o.BytesAccepted
	}
	return 0, 0
}
