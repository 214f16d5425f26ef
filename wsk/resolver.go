package wsk

import (
	"context"
	"net/netip"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Resolver turns names into addresses and back; a provider asks the one that
// SetResolver gave it. Its methods may block until ctx ends, and are called from
// several goroutines at once. A name that does not exist is an empty answer without
// an error. *net.Resolver has the methods that an implementation needs.
type Resolver interface {
	// LookupHost returns the addresses of a host and its canonical name, which may
	// be empty. node is never empty and never an address.
	LookupHost(ctx context.Context, node string) (addrs []netip.Addr, canonical string, err error)
	// LookupService returns the port of a service of "tcp" or "udp"; service is
	// never empty and never a number.
	LookupService(ctx context.Context, network, service string) (port uint16, err error)
	// LookupAddr returns the fully qualified name of an address.
	LookupAddr(ctx context.Context, addr netip.Addr) (name string, err error)
}

// SetResolver gives the provider its resolver. Without one, GetAddressInfo and
// GetNameInfo know numbers alone.
func (p *Provider) SetResolver(r Resolver) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resolver = r
}

// Flags of AddrInfo and GetNameInfo.
const (
	AI_PASSIVE     uint32 = 0x1 // without a node, the wildcard instead of loopback
	AI_CANONNAME   uint32 = 0x2 // tell the canonical name in the first entry
	AI_NUMERICHOST uint32 = 0x4 // the node is an address
	AI_NUMERICSERV uint32 = 0x8 // the service is a number

	NI_NUMERICHOST uint32 = 0x2  // the address as a number
	NI_NAMEREQD    uint32 = 0x4  // no name is a failure
	NI_NUMERICSERV uint32 = 0x8  // has no effect: services always are numbers
	NI_DGRAM       uint32 = 0x10 // has no effect, as services always are numbers
)

// AddrInfo is a list of addresses (ADDRINFOEXW), and with Flags, Family, SockType and
// Protocol alone, the hints.
type AddrInfo struct {
	Flags     uint32 // AI_PASSIVE and so on
	Family    uint16 // AF_UNSPEC, AF_INET or AF_INET6
	SockType  uint16 // 0: SOCK_STREAM
	Protocol  uint32 // 0: that of SockType
	CanonName string
	Addr      SockAddr
	Next      *AddrInfo
}

// GetAddressInfo turns the name of a host and a service into addresses
// (WskGetAddressInfo). At least one of the names is not empty. hints may be nil.
// *result is the list when the IRP has completed with STATUS_SUCCESS; give it back
// with FreeAddressInfo. The name space, the provider and the owning process and
// thread have no meaning here.
//
// It answers STATUS_PENDING, STATUS_INVALID_PARAMETER, STATUS_DEVICE_NOT_READY after
// Stop or Deregister. The IRP can also complete with STATUS_NO_MATCH,
// STATUS_CANCELLED, or what the resolver's error means. It does not block.
func (d *ProviderDispatch) GetAddressInfo(client *Client, nodeName, serviceName string, hints *AddrInfo,
	result **AddrInfo, i *irp.IRP) ntstatus.Status {
	c := d.watch("GetAddressInfo", client, i, nil)
	return c.leave(d.getAddressInfo(c, client, nodeName, serviceName, hints, result, i))
}

func (d *ProviderDispatch) getAddressInfo(c *Call, client *Client, nodeName, serviceName string, hints *AddrInfo,
	result **AddrInfo, i *irp.IRP) ntstatus.Status {
	q := addressQuery{node: nodeName, service: serviceName}
	if hints != nil {
		q.hints = *hints
	}
	if result == nil || !q.valid() {
		return refuseIRP(c, i, ntstatus.InvalidParameter)
	}
	return d.lookup(c, client, i, func(ctx context.Context, r Resolver) ntstatus.Status {
		list, status := q.run(ctx, r)
		if status == ntstatus.Success {
			*result = list
			if c != nil {
				c.List = list
			}
		}
		return status
	})
}

// FreeAddressInfo gives a list back (WskFreeAddressInfo). The memory is the garbage
// collector's.
func (d *ProviderDispatch) FreeAddressInfo(client *Client, list *AddrInfo) {
	d.watch("FreeAddressInfo", client, nil, list).leave(ntstatus.Success)
}

// GetNameInfo turns an address into the names of a host and a service
// (WskGetNameInfo); either pointer may be nil, not both. They are filled in before the
// IRP completes. An address without a name gives its number, unless flags has
// NI_NAMEREQD. The service is the port's number.
//
// It answers the same as GetAddressInfo.
func (d *ProviderDispatch) GetNameInfo(client *Client, sockAddr *SockAddr, nodeName, serviceName *string,
	flags uint32, i *irp.IRP) ntstatus.Status {
	c := d.watch("GetNameInfo", client, i, nil)
	return c.leave(d.getNameInfo(c, client, sockAddr, nodeName, serviceName, flags, i))
}

func (d *ProviderDispatch) getNameInfo(c *Call, client *Client, sockAddr *SockAddr, nodeName, serviceName *string,
	flags uint32, i *irp.IRP) ntstatus.Status {
	const known = NI_NUMERICHOST | NI_NAMEREQD | NI_NUMERICSERV | NI_DGRAM
	if sockAddr == nil || !sockAddr.AddrPort().IsValid() || nodeName == nil && serviceName == nil || flags&^known != 0 ||
		flags&NI_NAMEREQD != 0 && flags&NI_NUMERICHOST != 0 {
		return refuseIRP(c, i, ntstatus.InvalidParameter)
	}
	at := sockAddr.AddrPort()
	return d.lookup(c, client, i, func(ctx context.Context, r Resolver) ntstatus.Status {
		return nameOf(ctx, r, at, flags, nodeName, serviceName)
	})
}
