package relay_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/test/relay"
)

// counter is a stack that only counts.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (*counter) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

// Writers, deliverers, detaching and closing at the same time, on the machine's
// clock: nothing blocks, races, leaks a packet, or runs on after Wait.
func TestConcurrentUseAndClose(t *testing.T) {
	for range 20 {
		lower := channel.New(4, 1500, "")
		var seen relay.Recorder
		link, err := relay.New(lower, relay.Config{DownDelay: 1, Observe: seen.Observe, DownFilter: relay.Nth(relay.Any, relay.Reset, 3, 5)})
		if err != nil {
			t.Fatal(err)
		}
		up := &counter{}
		link.Attach(up)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 50 {
					var list gstack.PacketBufferList
					list.PushBack(gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(data("a"))}))
					if _, err := link.WritePackets(list); err != nil {
						t.Error(err)
					}
					list.DecRef()
				}
			})
			wg.Go(func() {
				for range 50 {
					pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(data("b"))})
					lower.InjectInbound(header.IPv4ProtocolNumber, pkt)
					pkt.DecRef()
				}
			})
		}
		// Something has gone through before the relay is torn down.
		if _, err := seen.Wait(t.Context(), func(e relay.Event) bool {
			return e.Direction == relay.Up && e.Place == relay.AtStack
		}); err != nil {
			t.Error(err)
		}
		link.Attach(nil)
		link.Attach(up)
		link.Close()
		link.Attach(nil)
		link.Wait()
		after := len(seen.Events())
		wg.Wait()
		for _, e := range seen.Events()[after:] {
			// The lower link may still deliver; nothing moves in the relay.
			if e.Place != relay.AtWire || e.Direction != relay.Up {
				t.Errorf("%v %v after Wait", e.Direction, e.Place)
			}
		}
		lower.Drain()
	}
}

// slow is a stack that is busy with a packet until it is let go.
type slow struct {
	busy, free chan struct{}
}

func (s *slow) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {
	close(s.busy)
	<-s.free
}

func (*slow) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

// Wait returns when the last packet has left the relay's hands, and not before.
// The bubble's clock drives the relay, so the delay takes no time.
func TestWaitWaitsForTheLastPacket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lower := channel.New(4, 1500, "")
		link, err := relay.New(lower, relay.Config{UpDelay: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		up := &slow{busy: make(chan struct{}), free: make(chan struct{})}
		link.Attach(up)
		pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(data("a"))})
		lower.InjectInbound(header.IPv4ProtocolNumber, pkt)
		pkt.DecRef()
		start := time.Now()
		<-up.busy
		if d := time.Since(start); d != time.Hour {
			t.Errorf("delayed by %v, want an hour", d)
		}
		link.Attach(nil)
		waited := make(chan struct{})
		go func() {
			link.Wait()
			close(waited)
		}()
		time.Sleep(time.Minute) // of the bubble's time: Wait has had its chance
		select {
		case <-waited:
			t.Error("Wait returned while a packet was being delivered")
		default:
		}
		close(up.free)
		<-waited
	})
}

func TestRecorderWaitEndsWithItsContext(t *testing.T) {
	var seen relay.Recorder
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := seen.Wait(ctx, func(relay.Event) bool { return true }); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}
