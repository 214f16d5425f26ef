package wsk

import (
	"context"
	"errors"
	"net/netip"
	"strconv"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// lookup is the frame of calls that wait for others: it runs a query on a goroutine of its own, which ends with the IRP and, if that
// is cancelled, as soon as the resolver heeds its context. It counts as a call of the
// client until the completion routine has returned.
func (d *ProviderDispatch) lookup(c *Call, client *Client, i *irp.IRP, query func(context.Context, Resolver) ntstatus.Status) ntstatus.Status {
	status := d.begin(c, client)
	if status != ntstatus.Success {
		return refuseIRP(c, i, status)
	}
	p := client.provider
	p.mu.Lock()
	r, ready := p.resolver, p.ready()
	p.mu.Unlock()
	if ready != ntstatus.Success {
		client.end()
		return refuseIRP(c, i, ready)
	}
	if status := c.admit(); status != ntstatus.Success {
		client.end()
		return refuseIRP(c, i, status)
	}
	ctx, cancel := context.WithCancel(context.Background())
	req, status := irp.Submit(i, cancel)
	if status != ntstatus.Success {
		if i == nil {
			c.fail(FaultIRP)
		}
		cancel()
		client.end()
		return status
	}
	if req.Cancelled() {
		cancel()
		req.Complete(irp.StatusBlock{Status: ntstatus.Cancelled})
		client.end()
		return ntstatus.Cancelled
	}
	req.MarkPending()
	go func() {
		defer client.end()
		defer cancel()
		status := query(ctx, r)
		if status != ntstatus.Success && ctx.Err() != nil {
			status = ntstatus.Cancelled
		}
		result := irp.StatusBlock{Status: status}
		c.completing(result)
		req.Complete(result)
	}()
	return ntstatus.Pending
}

// addressQuery is a GetAddressInfo.
type addressQuery struct {
	node, service string
	hints         AddrInfo
}

// valid checks what can be checked without asking anybody, and fills in the defaults.
func (q *addressQuery) valid() bool {
	h := &q.hints
	const known = AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_NUMERICSERV
	if q.node == "" && q.service == "" || h.Flags&^known != 0 || h.Next != nil || h.CanonName != "" || h.Addr != (SockAddr{}) {
		return false
	}
	if h.Family != AF_UNSPEC && h.Family != AF_INET && h.Family != AF_INET6 {
		return false
	}
	protocols := map[uint16]uint32{SOCK_STREAM: IPPROTO_TCP, SOCK_DGRAM: IPPROTO_UDP}
	switch {
	case h.SockType == 0 && h.Protocol == IPPROTO_UDP:
		h.SockType = SOCK_DGRAM
	case h.SockType == 0:
		h.SockType = SOCK_STREAM
	}
	if h.Protocol == 0 {
		h.Protocol = protocols[h.SockType]
	}
	return h.Protocol != 0 && h.Protocol == protocols[h.SockType]
}

// run answers the query.
func (q *addressQuery) run(ctx context.Context, r Resolver) (*AddrInfo, ntstatus.Status) {
	port, status := q.port(ctx, r)
	if status != ntstatus.Success {
		return nil, status
	}
	addrs, canonical, status := q.addresses(ctx, r)
	if status != ntstatus.Success {
		return nil, status
	}
	var list *AddrInfo
	link := &list
	for _, a := range addrs {
		a = a.Unmap()
		family := AF_INET6
		if a.Is4() {
			family = AF_INET
		}
		if !a.IsValid() || q.hints.Family != AF_UNSPEC && q.hints.Family != family {
			continue
		}
		*link = &AddrInfo{
			Family: family, SockType: q.hints.SockType, Protocol: q.hints.Protocol,
			Addr: SockAddrFrom(netip.AddrPortFrom(a, port)),
		}
		link = &(*link).Next
	}
	if list == nil {
		return nil, ntstatus.NoMatch
	}
	if q.hints.Flags&AI_CANONNAME != 0 {
		list.CanonName = canonical
	}
	return list, ntstatus.Success
}

// port is the service's.
func (q *addressQuery) port(ctx context.Context, r Resolver) (uint16, ntstatus.Status) {
	if q.service == "" {
		return 0, ntstatus.Success
	}
	if n, err := strconv.ParseUint(q.service, 10, 16); err == nil {
		return uint16(n), ntstatus.Success
	}
	if r == nil || q.hints.Flags&AI_NUMERICSERV != 0 {
		return 0, ntstatus.NoMatch
	}
	network := "tcp"
	if q.hints.SockType == SOCK_DGRAM {
		network = "udp"
	}
	port, err := r.LookupService(ctx, network, q.service)
	if err == nil && port == 0 {
		return 0, ntstatus.NoMatch
	}
	return port, lookupStatus(err)
}

// addresses are the node's.
func (q *addressQuery) addresses(ctx context.Context, r Resolver) ([]netip.Addr, string, ntstatus.Status) {
	switch {
	case q.node == "" && q.hints.Flags&AI_PASSIVE != 0:
		return []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified()}, "", ntstatus.Success
	case q.node == "":
		return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}, "", ntstatus.Success
	}
	if a, err := netip.ParseAddr(q.node); err == nil {
		return []netip.Addr{a}, q.node, ntstatus.Success
	}
	if r == nil || q.hints.Flags&AI_NUMERICHOST != 0 {
		return nil, "", ntstatus.NoMatch
	}
	addrs, canonical, err := r.LookupHost(ctx, q.node)
	if canonical == "" {
		canonical = q.node
	}
	return addrs, canonical, lookupStatus(err)
}

// nameOf answers a GetNameInfo.
func nameOf(ctx context.Context, r Resolver, at netip.AddrPort, flags uint32, node, service *string) ntstatus.Status {
	name := ""
	if node != nil && r != nil && flags&NI_NUMERICHOST == 0 {
		var err error
		if name, err = r.LookupAddr(ctx, at.Addr().Unmap()); err != nil && (flags&NI_NAMEREQD != 0 || ctx.Err() != nil) {
			return lookupStatus(err)
		}
	}
	if node != nil && name == "" {
		if flags&NI_NAMEREQD != 0 {
			return ntstatus.NoMatch
		}
		name = at.Addr().String()
	}
	if node != nil {
		*node = name
	}
	if service != nil {
		*service = strconv.Itoa(int(at.Port()))
	}
	return ntstatus.Success
}

// lookupStatus is what a resolver's error means.
func lookupStatus(err error) ntstatus.Status {
	switch {
	case err == nil:
		return ntstatus.Success
	case errors.Is(err, context.Canceled):
		return ntstatus.Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		return ntstatus.IOTimeout
	}
	if status := statusOf(err, always); status != ntstatus.Unsuccessful {
		return status
	}
	return ntstatus.NoMatch
}
