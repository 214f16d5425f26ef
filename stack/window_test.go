package stack_test

import (
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
)

// ramp is a peer that sends a little more each round, and a program that reads it all at
// once. Netstack measures how much that is in three rounds, since the first window took
// as many. ramp returns the window, at its least, as a multiple of a round's bytes.
func (r *rig) ramp(syn seg.Segment, take func(n int)) (least float64) {
	r.t.Helper()
	const round, settled = 20 * time.Millisecond, 300_000
	shift, _ := syn.WScale()
	seq, window, at := seqnum.Value(101), 20_000, time.Duration(0)
	for burst := 15_000; burst < 1<<20; burst += burst / 20 {
		if burst > window {
			r.t.Fatalf("a window of %d for %d bytes", window, burst)
		}
		for left := burst; left > 0; {
			n := min(left, 60_000)
			r.data(syn, seq, n)
			seq, left = seq.Add(seqnum.Size(n)), left-n
		}
		at += round
		r.at(at)
		take(burst)
		r.all()
		r.data(syn, seq, 1)
		seq = seq.Add(1)
		window = int(r.next().Window()) << shift
		take(1)
		if times := float64(window) / float64(burst); burst > settled && (least == 0 || times < least) {
			least = times
		}
	}
	return least
}

// TestPinGrowth: netstack gives the window what was read, and no more, when a peer sends
// little more each time.
func TestPinGrowth(t *testing.T) {
	covers.IDs(t, "PIN-growth-of-the-buffer")
	r := newBareRig(t)
	size := tcpip.TCPReceiveBufferSizeRangeOption{Min: stack.DefaultBufferMin, Default: stack.DefaultBufferInitial, Max: stack.DefaultReceiveBufferMax}
	if err := r.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &size); err != nil {
		t.Fatal(err)
	}
	ep, syn, _ := r.openWide()
	least := r.ramp(syn, func(n int) {
		if got := len(contents(t, ep)); got != n {
			t.Fatalf("%d bytes of %d", got, n)
		}
		ep.ModerateRecvBuf(n)
	})
	if least < 2.5 || least > 4 {
		t.Errorf("the window has room for %.2g rounds, about three are measured", least)
	}
}

// TestWindowLeavesRoom: the window is twice what is read, as Linux has it. With just that
// much, a peer that the window holds back could never send more, and it would stay so.
func TestWindowLeavesRoom(t *testing.T) {
	r := newRig(t, stack.Config{})
	e := endpoint(t, r.stack, "tcp4")
	syn := r.dial(e, stack.ConnectOptions{FastOpen: fastopen.ModeOff}, 100, wide())
	until(t, e, "connected", func() bool { done, _ := e.Connected(); return done })
	least := r.ramp(syn, func(n int) { mustRead(t, e, make([]byte, n)) })
	if least < 5 {
		t.Errorf("the window has room for %.2g rounds, about three are measured: twice as many are right", least)
	}
}
