package fastopen

import (
	"slices"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
)

// slow is a dispatcher that takes its time over the first packet.
type slow struct {
	entered, leave chan struct{}

	mu  sync.Mutex
	got []int // guarded by mu; sizes of packets, in order
}

func (d *slow) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	d.mu.Lock()
	d.got = append(d.got, pkt.Size())
	first := len(d.got) == 1
	d.mu.Unlock()
	if first {
		close(d.entered)
		<-d.leave
	}
}

func (*slow) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

func packetOf(size int) *gstack.PacketBuffer {
	return gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(make([]byte, size))})
}

func TestNothingOvertakesTheQueue(t *testing.T) {
	l, err := New(channel.New(1, 1500, ""), Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := &slow{entered: make(chan struct{}), leave: make(chan struct{})}
	l.Attach(d)
	l.up.push(l, upItem{proto: header.IPv4ProtocolNumber, pkt: packetOf(1)})
	l.up.wake()
	<-d.entered // the Link's goroutine is delivering it
	for size := 2; size <= 3; size++ {
		pkt := packetOf(size)
		l.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt)
		pkt.DecRef()
	}
	d.mu.Lock()
	if len(d.got) != 1 {
		t.Errorf("packets of %v bytes are delivered before the first one is", d.got)
	}
	d.mu.Unlock()
	close(d.leave)
	l.Close()
	l.Wait()
	l.up.drain(l)
	if n := l.active.Load(); n != 0 {
		t.Errorf("after it all packets take the slow way: %x", n)
	}
	if !slices.IsSorted(d.got) {
		t.Errorf("packets of %v bytes, want 1, 2, 3", d.got)
	}
}
