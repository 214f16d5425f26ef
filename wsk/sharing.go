package wsk

import (
	"net/netip"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// This file is who may share a local address. Windows has rules of its own, which no
// other stack knows, so the provider keeps a table of its sockets' binds; the
// transports are told to share whatever they are asked to.

// bindMode is how a socket binds.
type bindMode uint8

const (
	bindDefault   bindMode = iota
	bindReuse              // SO_REUSEADDR
	bindExclusive          // SO_EXCLUSIVEADDRUSE
	numBindModes
)

// shareAnswer is what a second bind gets.
type shareAnswer uint8

const (
	shareOK     shareAnswer = iota
	shareInUse              // STATUS_ADDRESS_ALREADY_EXISTS
	shareDenied             // STATUS_ACCESS_DENIED
	// shareCheck is where Windows checks the second socket's security context against
	// the first one's descriptor. Here there are none, and the default descriptor of
	// Windows refuses.
	shareCheck
)

// shareTable says what the second bind gets: [second's mode][second is the wildcard]
// [first's mode][first is the wildcard]; two specific addresses are the same one.
var shareTable = [numBindModes][2][numBindModes][2]shareAnswer{
	bindDefault: {
		specific: {
			bindDefault: {specific: shareInUse, wild: shareCheck}, bindReuse: {specific: shareDenied, wild: shareCheck},
			bindExclusive: {specific: shareInUse, wild: shareDenied},
		},
		wild: {
			bindDefault: {specific: shareOK, wild: shareInUse}, bindReuse: {specific: shareOK, wild: shareInUse},
			bindExclusive: {specific: shareOK, wild: shareInUse},
		},
	},
	bindReuse: {
		specific: {
			bindDefault: {specific: shareDenied, wild: shareCheck}, bindReuse: {specific: shareOK, wild: shareOK},
			bindExclusive: {specific: shareDenied, wild: shareDenied},
		},
		wild: {
			bindDefault: {specific: shareOK, wild: shareDenied}, bindReuse: {specific: shareOK, wild: shareOK},
			bindExclusive: {specific: shareOK, wild: shareDenied},
		},
	},
	bindExclusive: {
		specific: {
			bindDefault: {specific: shareInUse, wild: shareCheck}, bindReuse: {specific: shareInUse, wild: shareCheck},
			bindExclusive: {specific: shareInUse, wild: shareDenied},
		},
		wild: {
			bindDefault: {specific: shareInUse, wild: shareInUse}, bindReuse: {specific: shareInUse, wild: shareInUse},
			bindExclusive: {specific: shareInUse, wild: shareInUse},
		},
	},
}

const specific, wild = 0, 1

// place is where claims can meet.
type place struct {
	socketType uint16
	port       uint16
}

// claim is a bind in the table. The provider's lock guards it.
type claim struct {
	place  place
	addr   netip.Addr // without zone, and IPv4 as such; the wildcard of its family
	v4, v6 bool       // the families that a wildcard stands for
	mode   bindMode
	remote netip.AddrPort // of a connection
	next   *claim         // of the same place
}

func newClaim(o options, family uint16, addr netip.AddrPort) *claim {
	c := &claim{place: place{o.socketType, addr.Port()}, addr: addr.Addr().Unmap().WithZone(""), mode: o.bindMode()}
	c.v4 = c.addr.Is4() || c.wildcard() && !o.v6Only
	c.v6 = c.addr.Is6() && family == AF_INET6
	return c
}

func (o options) bindMode() bindMode {
	switch {
	case o.exclusive:
		return bindExclusive
	case o.reuse:
		return bindReuse
	}
	return bindDefault
}

func (c *claim) wildcard() bool { return c.addr.IsUnspecified() }

func (c *claim) kind() int {
	if c.wildcard() {
		return wild
	}
	return specific
}

// meets reports whether the two have an address in common.
func (c *claim) meets(d *claim) bool {
	if c.wildcard() || d.wildcard() {
		return c.v4 && d.v4 || c.v6 && d.v6
	}
	return c.addr == d.addr
}

// after is what c gets where first is.
func (c *claim) after(first *claim) ntstatus.Status {
	if !c.meets(first) {
		return ntstatus.Success
	}
	switch shareTable[c.mode][c.kind()][first.mode][first.kind()] {
	case shareOK:
	case shareInUse:
		return ntstatus.AddressAlreadyExists
	case shareDenied, shareCheck:
		return ntstatus.AccessDenied
	}
	return ntstatus.Success
}

// enter puts a claim into the table if all that are there let it.
func (p *Provider) enter(c *claim) ntstatus.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	for first := p.claims[c.place]; first != nil; first = first.next {
		if status := c.after(first); status != ntstatus.Success {
			return status
		}
	}
	if p.claims == nil {
		p.claims = map[place]*claim{}
	}
	c.next = p.claims[c.place]
	p.claims[c.place] = c
	return ntstatus.Success
}

// remove takes a claim out.
func (p *Provider) remove(c *claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.claims[c.place]
	at := &first
	for *at != nil && *at != c {
		at = &(*at).next
	}
	if *at == nil { // it never got in
		return
	}
	*at, c.next = c.next, nil
	if first == nil {
		delete(p.claims, c.place)
	} else {
		p.claims[c.place] = first
	}
}

// aim notes the peer of a connection, unless another socket of the same place has it:
// who shares a port can otherwise make a connection twice.
func (p *Provider) aim(c *claim, remote netip.AddrPort) ntstatus.Status {
	if c == nil {
		return ntstatus.Success
	}
	remote = unmapped(remote)
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := p.claims[c.place]; other != nil; other = other.next {
		if other != c && remote.IsValid() && other.remote == remote && other.meets(c) {
			return ntstatus.AddressAlreadyExists
		}
	}
	c.remote = remote
	return ntstatus.Success
}

// bindable is a transport of either kind, as far as binding goes.
type bindable interface {
	Bind(netip.AddrPort) error
	LocalAddr() netip.AddrPort
}

// bindTransport binds the transport, if the table allows, and remembers the address.
// Precondition: f.mu is held.
func (f *flow) bindTransport(addr netip.AddrPort) ntstatus.Status {
	var t bindable = f.transport
	if f.datagram != nil {
		t = f.datagram
	}
	if f.options.socketType == SOCK_RAW { // it has no port
		f.local = netip.AddrPortFrom(addr.Addr(), 0)
		return statusOf(t.Bind(f.local), binding)
	}
	p := f.client.provider
	c := newClaim(*f.options, f.family, addr)
	if addr.Port() != 0 {
		if status := p.enter(c); status != ntstatus.Success {
			return status
		}
		// One that cannot share answers for itself if the port is taken.
		_ = with(t, func(s Sharer) error { return s.ShareAddress(true) })
	}
	if err := t.Bind(addr); err != nil {
		p.remove(c)
		return statusOf(err, binding)
	}
	f.local = addr
	if bound := t.LocalAddr(); bound.Port() != 0 {
		f.local = netip.AddrPortFrom(addr.Addr(), bound.Port())
	}
	if addr.Port() == 0 {
		// The transport chose a port that nobody has. Where it seems taken all the
		// same, who has it is about to give it back.
		c.place.port = f.local.Port()
		_ = p.enter(c)
	}
	f.claim = c
	return ntstatus.Success
}

// unclaim gives the address back. Precondition: f.mu is held.
func (f *flow) unclaim() {
	if f.claim != nil {
		f.client.provider.remove(f.claim)
		f.claim = nil
	}
}
