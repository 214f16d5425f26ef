package wsk

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// ClientDispatch is the client's side of a registration (WSK_CLIENT_DISPATCH). It
// has no WskClientEvent: no event type is defined and no provider calls it.
type ClientDispatch struct {
	Version uint16 // the version of the interface that the client uses, see MakeVersion
}

// ClientNPI introduces a client (WSK_CLIENT_NPI); it is copied.
type ClientNPI struct {
	ClientContext any
	Dispatch      *ClientDispatch
}

// ProviderNPI is what a capture gives (WSK_PROVIDER_NPI).
type ProviderNPI struct {
	Client   *Client
	Dispatch *ProviderDispatch
}

// ProviderCharacteristics is the range of versions that a provider supports
// (WSK_PROVIDER_CHARACTERISTICS).
type ProviderCharacteristics struct {
	HighestVersion uint16
	LowestVersion  uint16
}

// Client identifies one registration to the provider (WSK_CLIENT); opaque.
type Client struct {
	provider *Provider
	npi      ClientNPI
	version  uint16

	// The provider's lock guards all below.
	captures int
	running  int // calls of the ProviderDispatch that have not returned
	sockets  map[*flow]struct{}
	created  bool          // there was a socket
	static   uint32        // the events whose callbacks are always on
	leaving  bool          // Deregister was called
	told     bool          // a Deregister has returned that it is over
	gone     chan struct{} // closed when it leaves and nothing is left of it
}

// Registration is one registration of a client (WSK_REGISTRATION): the caller
// owns it, and it must not be copied after Register. Its zero value is not
// registered.
type Registration struct {
	client atomic.Pointer[Client]
}

// Register registers a client (WskRegister) and answers STATUS_SUCCESS, or
// STATUS_INVALID_PARAMETER if something is missing or reg is in use. Success does
// not mean that the provider is ready. Each success needs one Deregister.
func (p *Provider) Register(npi *ClientNPI, reg *Registration) ntstatus.Status {
	if p == nil || npi == nil || npi.Dispatch == nil || reg == nil {
		return ntstatus.InvalidParameter
	}
	c := &Client{
		provider: p, npi: *npi, version: npi.Dispatch.Version,
		sockets: map[*flow]struct{}{}, gone: make(chan struct{}),
	}
	call := p.watch("Register", c, nil, nil)
	return call.leave(p.register(call, c, reg))
}

func (p *Provider) register(call *Call, c *Client, reg *Registration) ntstatus.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := reg.client.Load(); old != nil && !old.isGone() {
		call.fail(FaultRegister)
		return ntstatus.InvalidParameter
	}
	if p.clients == nil {
		p.clients = map[*Client]struct{}{}
	}
	p.clients[c] = struct{}{}
	reg.client.Store(c)
	return ntstatus.Success
}

// CaptureProviderNPI waits until the provider is ready, at most waitTimeout
// milliseconds (NoWait, InfiniteWait), and fills npi in. It answers
// STATUS_SUCCESS, STATUS_DEVICE_NOT_READY (not ready in time, stopped, or
// deregistered, also while waiting) or STATUS_NOINTERFACE (the client's version
// is not supported). Each success needs one ReleaseProviderNPI.
func (r *Registration) CaptureProviderNPI(waitTimeout uint32, npi *ProviderNPI) ntstatus.Status {
	if npi == nil {
		return ntstatus.InvalidParameter
	}
	c := r.registered()
	if c == nil {
		return ntstatus.DeviceNotReady
	}
	call := c.watch("CaptureProviderNPI")
	ctx, cancel := limit(waitTimeout)
	defer cancel()
	status := c.capture(ctx)
	if status == ntstatus.Success {
		*npi = ProviderNPI{Client: c, Dispatch: &ProviderDispatch{Version: Version1_0, provider: c.provider}}
	}
	return call.leave(status)
}

// limit returns a context that ends after ms milliseconds, or with InfiniteWait
// never.
func limit(ms uint32) (context.Context, context.CancelFunc) {
	if ms == InfiniteWait {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
}

// capture waits for the provider.
func (c *Client) capture(ctx context.Context) ntstatus.Status {
	p := c.provider
	for {
		p.mu.Lock()
		if c.leaving || p.stopped {
			p.mu.Unlock()
			return ntstatus.DeviceNotReady
		}
		if p.ready() == ntstatus.Success {
			defer p.mu.Unlock()
			if c.version>>8 != Version1_0>>8 || c.version > Version1_0 {
				return ntstatus.NoInterface
			}
			c.captures++
			return ntstatus.Success
		}
		changed := p.change()
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ntstatus.DeviceNotReady
		}
	}
}

// ReleaseProviderNPI gives one capture back; the ProviderDispatch may not be used
// through it any more. Sockets stay usable. It does nothing without a capture.
func (r *Registration) ReleaseProviderNPI() {
	c := r.registered()
	if c == nil {
		return
	}
	call := c.watch("ReleaseProviderNPI")
	c.provider.mu.Lock()
	if c.captures > 0 {
		c.captures--
		c.settle()
	} else {
		call.fail(FaultCapture)
	}
	c.provider.mu.Unlock()
	call.leave(ntstatus.Success)
}

// QueryProviderCharacteristics tells which versions the provider supports. It
// answers STATUS_SUCCESS, or STATUS_DEVICE_NOT_READY if there is no provider yet.
func (r *Registration) QueryProviderCharacteristics(out *ProviderCharacteristics) ntstatus.Status {
	if out == nil {
		return ntstatus.InvalidParameter
	}
	c := r.registered()
	if c == nil {
		return ntstatus.DeviceNotReady
	}
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	if status := c.provider.ready(); status != ntstatus.Success {
		return status
	}
	*out = ProviderCharacteristics{HighestVersion: Version1_0, LowestVersion: Version1_0}
	return ntstatus.Success
}

// Deregister ends the registration (WskDeregister). It blocks until every capture
// is released, every call of the ProviderDispatch has returned and its IRP
// completed, and every socket is closed; see DeregisterContext for a limit. It
// must not be called from a completion routine: it would wait for itself.
func (r *Registration) Deregister() {
	// Without an end to the context, there is no error.
	_ = r.DeregisterContext(context.Background())
}

// DeregisterContext is Deregister with a limit: if ctx ends first it returns a
// *BusyError that tells what it was waiting for. The registration is ending all
// the same (nothing can be captured any more); call again to go on waiting.
func (r *Registration) DeregisterContext(ctx context.Context) error {
	c := r.registered()
	if c == nil {
		return nil
	}
	call := c.watch("Deregister")
	p := c.provider
	p.mu.Lock()
	if c.told {
		call.fail(FaultRegister)
	}
	c.leaving = true
	p.announce()
	c.settle()
	p.mu.Unlock()
	select {
	case <-c.gone:
	case <-ctx.Done():
	}
	if c.isGone() {
		p.mu.Lock()
		c.told = true
		p.mu.Unlock()
		call.leave(ntstatus.Success)
		return nil
	}
	call.leave(ntstatus.Timeout)
	return &BusyError{Blockers: c.blockers(), cause: context.Cause(ctx)}
}

// registered returns the client, nil if r was never registered.
func (r *Registration) registered() *Client {
	if r == nil {
		return nil
	}
	return r.client.Load()
}

// isGone reports whether the registration is over.
func (c *Client) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// settle ends a registration that is leaving once nothing is left of it.
// Precondition: the provider's lock is held.
func (c *Client) settle() {
	if !c.leaving || c.captures > 0 || c.running > 0 || len(c.sockets) > 0 || c.isGone() {
		return
	}
	delete(c.provider.clients, c)
	close(c.gone)
}

// socketGone takes a socket off the books: it is closed and its last routine has
// returned.
func (c *Client) socketGone(f *flow) {
	f.exists(false)
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	delete(c.sockets, f)
	c.settle()
}

// Blockers is what a deregistration waits for.
type Blockers struct {
	Captures int           // captures that are not released
	Calls    int           // calls of the ProviderDispatch that have not returned
	Sockets  []SocketState // sockets that are not closed, in no order
}

// SocketState tells about a socket.
type SocketState struct {
	Category      string // "basic", "listening", "connection", "datagram" or "stream"
	State         State
	Local, Remote SockAddr
	Pended        int // IRPs that have not completed
	Context       any // the client's SocketContext
}

// blockers takes stock.
func (c *Client) blockers() Blockers {
	c.provider.mu.Lock()
	b := Blockers{Captures: c.captures, Calls: c.running}
	flows := make([]*flow, 0, len(c.sockets))
	for f := range c.sockets {
		flows = append(flows, f)
	}
	c.provider.mu.Unlock()
	for _, f := range flows {
		b.Sockets = append(b.Sockets, f.describe())
	}
	return b
}

func (f *flow) describe() SocketState {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := SocketState{
		Category: f.category.name, State: f.state,
		Pended: int(f.pended.Load()), Context: f.context,
	}
	if f.local.IsValid() {
		s.Local = sockAddrOf(f.family, f.local)
	}
	if f.remote.IsValid() {
		s.Remote = sockAddrOf(f.family, f.remote)
	}
	return s
}

// BusyError says why a deregistration has not ended.
type BusyError struct {
	Blockers
	cause error
}

// Error names what has to be released and closed.
func (e *BusyError) Error() string {
	var parts []string
	if e.Captures > 0 {
		parts = append(parts, fmt.Sprintf("%d captures to release", e.Captures))
	}
	if e.Calls > 0 {
		parts = append(parts, fmt.Sprintf("%d calls to return", e.Calls))
	}
	for _, s := range e.Sockets {
		parts = append(parts, fmt.Sprintf("a %s socket in state %v (local %v, remote %v, %d IRPs pended) to close",
			s.Category, s.State, s.Local, s.Remote, s.Pended))
	}
	return "wsk: deregistration waits for " + strings.Join(parts, ", ")
}

// Unwrap returns why the wait ended.
func (e *BusyError) Unwrap() error { return e.cause }
