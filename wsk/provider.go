package wsk

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Version1_0 is the one version of the interface that there is.
const Version1_0 uint16 = 0x0100

// MakeVersion returns the number of a version of the interface.
func MakeVersion(major, minor uint8) uint16 { return uint16(major)<<8 | uint16(minor) }

// Provider is the subsystem: registrations come to it, and its sockets stand on
// one Network. The zero value is a provider that is not ready yet. All methods
// are safe for concurrent use.
type Provider struct {
	mode     atomic.Uint32 // the CompletionMode
	observer Observer      // does not change once there are clients or a network
	ops      sync.Pool     // of *op

	// mu guards all below and the fields of every Client that say so. It is a leaf:
	// taken under a socket's lock, and nothing is called with it held.
	mu       sync.Mutex
	network  Network
	stopped  bool
	resolver Resolver
	random   *rand.Rand    // of CompleteRandom
	changed  chan struct{} // closed, and made anew, when network or stopped changes
	clients  map[*Client]struct{}
	claims   map[place]*claim     // the sockets' binds: the first of each place
	shared   map[options]*options // see share
}

// NewProvider returns a provider that is not ready: captures wait until Start.
func NewProvider() *Provider { return &Provider{} }

// Start makes the provider ready; its sockets stand on network, which the caller
// keeps and closes after Stop. It fails if the provider was started or stopped
// before.
func (p *Provider) Start(network Network) error {
	if network == nil {
		return errors.New("wsk: Start needs a Network")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return errors.New("wsk: the provider was stopped; make a new one")
	}
	if p.network != nil {
		return errors.New("wsk: the provider was started before")
	}
	p.network = network
	p.announce()
	return nil
}

// Stop withdraws the provider for good: every socket is dead from now on, what is
// pended on it completes with STATUS_FILE_FORCED_CLOSED, and nothing can be
// captured any more. Stop does not wait: clients still close their sockets and
// deregister. It is idempotent.
func (p *Provider) Stop() {
	p.mu.Lock()
	p.stopped = true
	p.announce()
	var flows []*flow
	for c := range p.clients {
		for f := range c.sockets {
			flows = append(flows, f)
		}
	}
	p.mu.Unlock()
	for _, f := range flows {
		f.mu.Lock()
		f.withdraw()
		f.mu.Unlock()
		f.kick()
	}
}

// announce wakes those who wait for a change. Precondition: p.mu is held.
func (p *Provider) announce() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// change returns the channel that the next announce closes. Precondition: p.mu is
// held.
func (p *Provider) change() <-chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// newTransport makes a transport for a socket.
func (p *Provider) newTransport(v6 bool) (Transport, error) {
	p.mu.Lock()
	network, stopped := p.network, p.stopped
	p.mu.Unlock()
	if stopped || network == nil {
		return nil, net.ErrClosed
	}
	return network.NewTransport(v6)
}

// ready tells whether the provider can serve. Precondition: p.mu is held.
func (p *Provider) ready() ntstatus.Status {
	if p.network == nil || p.stopped {
		return ntstatus.DeviceNotReady
	}
	return ntstatus.Success
}
