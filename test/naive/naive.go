// Package naive is the link endpoint that the first version of every user-space
// stack on a TUN has: netstack writes into a queue in memory, one goroutine takes
// packets out of it and writes them to the device one by one, and another reads them
// one by one. It is here to be measured against, and it is what package iolink is
// not: it drops packets silently when its queue is full.
package naive

import (
	"context"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// Queue is the usual size of the queue, in packets.
const Queue = 1024

// Link is a queue with a device behind it.
type Link struct {
	*channel.Endpoint
	dev     iolink.Device
	once    sync.Once
	cancel  context.CancelFunc
	ctx     context.Context
	workers sync.WaitGroup // the two goroutines; they end with Close
}

// New joins a queue and a device, both of which the Link owns from then on. The
// device has to be one without offloads.
func New(dev iolink.Device, queue *channel.Endpoint) *Link {
	l := &Link{Endpoint: queue, dev: dev}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Attach implements stack.LinkEndpoint.
func (l *Link) Attach(d gstack.NetworkDispatcher) {
	l.Endpoint.Attach(d)
	if d == nil {
		l.Close()
		return
	}
	l.workers.Go(l.down)
	l.workers.Go(l.up)
}

// down moves packets from the queue to the device.
func (l *Link) down() {
	for {
		pkt := l.Endpoint.ReadContext(l.ctx)
		if pkt == nil {
			return
		}
		v := pkt.ToView()
		pkt.DecRef()
		_, _ = l.dev.Write(0, []frame.Packet{{Views: [][]byte{v.AsSlice()}, Size: v.Size()}})
		v.Release()
	}
}

// up moves packets from the device to netstack.
func (l *Link) up() {
	buf := make([]byte, 65535)
	batch := []frame.Packet{{Views: [][]byte{buf}}}
	for {
		if n, err := l.dev.Read(0, batch); err != nil || n != 1 {
			return
		}
		pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(buf[:batch[0].Size])})
		l.InjectInbound(protocol(buf[0]), pkt)
		pkt.DecRef()
	}
}

func protocol(first byte) tcpip.NetworkProtocolNumber {
	if first>>4 == header.IPv6Version {
		return header.IPv6ProtocolNumber
	}
	return header.IPv4ProtocolNumber
}

// Close implements stack.LinkEndpoint: it closes queue and device.
func (l *Link) Close() {
	l.once.Do(func() {
		l.cancel()
		l.Endpoint.Close()
		_ = l.dev.Close()
	})
}

// Wait implements stack.LinkEndpoint.
func (l *Link) Wait() {
	l.workers.Wait()
	l.Endpoint.Drain()
}
