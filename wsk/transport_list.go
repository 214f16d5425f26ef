package wsk

import (
	"context"
	"encoding/binary"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TransportEntry is an entry of the transport list (WSK_TRANSPORT).
type TransportEntry struct {
	Version       uint16
	SocketType    uint16
	Protocol      uint32
	AddressFamily uint16 // AF_UNSPEC stands for AF_INET and AF_INET6
	ProviderID    GUID
}

// Bytes returns e in its binary form, 28 bytes, little-endian.
func (e TransportEntry) Bytes() []byte {
	b := binary.LittleEndian.AppendUint16(nil, e.Version)
	b = binary.LittleEndian.AppendUint16(b, e.SocketType)
	b = binary.LittleEndian.AppendUint32(b, e.Protocol)
	b = binary.LittleEndian.AppendUint16(b, e.AddressFamily)
	b = append(b, 0, 0)
	return e.ProviderID.append(b)
}

// transportList answers a query: a list in output, or how much room it needs.
func (p *Provider) transportList(output []byte) (ntstatus.Status, uint64) {
	p.mu.Lock()
	network, status := p.network, p.ready()
	p.mu.Unlock()
	if status != ntstatus.Success {
		return status, 0
	}
	list := TransportEntry{Version: Version1_0, SocketType: SOCK_STREAM, Protocol: IPPROTO_TCP}.Bytes()
	if _, ok := as[DatagramNetwork](network); ok {
		list = append(list, TransportEntry{Version: Version1_0, SocketType: SOCK_DGRAM, Protocol: IPPROTO_UDP}.Bytes()...)
	}
	if len(output) < len(list) {
		return ntstatus.BufferOverflow, uint64(len(list))
	}
	copy(output, list)
	return ntstatus.Success, uint64(len(list))
}

// transportListChange waits until the provider stops, or the client goes or cancels.
func (c *Client) transportListChange(ctx context.Context, _ Resolver) ntstatus.Status {
	p := c.provider
	for {
		p.mu.Lock()
		leaving, stopped, changed := c.leaving, p.stopped, p.change()
		p.mu.Unlock()
		switch {
		case leaving:
			return ntstatus.Cancelled
		case stopped:
			return ntstatus.Success
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ntstatus.Cancelled
		}
	}
}
