package stack_test

import (
	"bytes"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
)

// The tests in this file pin what the choices of DESIGN.md, D-58, lean on.

// wide are the options of a peer that has window scaling, by 2⁷.
func wide() []byte { return []byte{2, 4, 1460 >> 8, 1460 & 0xff, 3, 3, 7, 1} }

// openWide connects a bare endpoint to a peer with window scaling and returns what
// the windows of its segments have to be multiplied by; the peer's next number is 101.
func (r *rig) openWide() (ep tcpip.Endpoint, syn seg.Segment, scale int) {
	r.t.Helper()
	ep, syn = r.connect()
	shift, ok := syn.WScale()
	if !ok {
		r.t.Fatal("a SYN without a window scale")
	}
	r.answer(syn, seg.SYN|seg.ACK, 100, syn.Seq().Add(1), wide(), nil)
	r.next()
	return ep, syn, 1 << shift
}

// data gives the stack a segment of n bytes and does not wait.
func (r *rig) data(syn seg.Segment, seq seqnum.Value, n int) {
	r.deliver(seg.Make(seg.Fields{
		Src: syn.Dst(), Dst: syn.Src(), Flags: seg.ACK, Seq: seq, Ack: syn.Seq().Add(1), Window: 0xffff, Payload: make([]byte, n),
	}).Bytes())
}

// TestPinNoDelayedAck: every segment is acknowledged when it has been processed, and
// those that are processed together are acknowledged once.
func TestPinNoDelayedAck(t *testing.T) {
	covers.IDs(t, "PIN-no-delayed-ack")
	r := newBareRig(t)
	ep, syn, _ := r.openWide()
	on := false
	ep.SocketOptions().SetQuickAck(on) // stored, never used
	seq := seqnum.Value(101)
	for range 5 {
		r.data(syn, seq, 100)
		seq = seq.Add(100)
		if ack := r.next(); ack.Ack() != seq { // the clock stands still
			t.Errorf("acknowledged %d, want %d", ack.Ack(), seq)
		}
	}
	r.ns.Pause()
	for range 5 {
		r.data(syn, seq, 100)
		seq = seq.Add(100)
	}
	r.ns.Resume()
	if ack := r.next(); ack.Ack() != seq {
		t.Errorf("five at once: acknowledged %d, want %d", ack.Ack(), seq)
	}
}

// TestPinHalfAWindow: the window is half of what is left of the receive buffer, the
// scale is fixed by the largest buffer, and the buffer grows when, and only when, its
// reader says how much it took.
func TestPinHalfAWindow(t *testing.T) {
	covers.IDs(t, "PIN-half-a-window", "PIN-receive-growth")
	for _, growing := range []bool{false, true} {
		r := newBareRig(t)
		size := tcpip.TCPReceiveBufferSizeRangeOption{Min: stack.DefaultBufferMin, Default: stack.DefaultBufferInitial, Max: stack.DefaultReceiveBufferMax}
		if err := r.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &size); err != nil {
			t.Fatal(err)
		}
		ep, syn, scale := r.openWide()
		if want := 1 << 9; scale != want {
			t.Errorf("the scale is %d, want %d: the least with which 16 bits reach 16 MiB", scale, want)
		}
		last, largest := r.pour(ep, syn, scale, growing)
		buffer := int(ep.SocketOptions().GetReceiveBufferSize())
		switch {
		case !growing && (buffer != size.Default || largest > size.Default/2 || largest < size.Default/2-1000):
			t.Errorf("nobody said what was read: the buffer has %d bytes, the window %d", buffer, largest)
		case growing && (buffer != size.Max || largest > size.Max/2 || largest < size.Max/2-1000):
			t.Errorf("it was said what was read: the buffer has %d bytes, the window %d", buffer, largest)
		}
		if last == 0 {
			t.Error("no window")
		}
	}
}

// TestPinNoWindowUpdate: what a burst has filled is missing from the window, and
// reading it sends no update. So where the peer sends a whole window at once, that is a
// quarter of the buffer and not a half.
func TestPinNoWindowUpdate(t *testing.T) {
	covers.IDs(t, "PIN-half-a-window")
	r := newBareRig(t)
	size := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 128 << 10, Max: 128 << 10}
	if err := r.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &size); err != nil {
		t.Fatal(err)
	}
	ep, syn, scale := r.openWide()
	r.ns.Pause()
	const burst = 19_000 // the first window allows no more
	r.data(syn, 101, burst)
	r.ns.Resume()
	ack := r.next()
	if got, most := int(ack.Window())*scale, size.Max/2-burst; got > most || got < most-1000 {
		t.Errorf("the window is %d, want a little less than %d", got, most)
	}
	if n := len(contents(t, ep)); n != burst {
		t.Fatalf("%d bytes read", n)
	}
	ep.ModerateRecvBuf(burst)
	r.silent("reading")
}

// pour fills the window again and again, every 10 ms, with a reader that takes
// everything, and returns the last window and the largest.
func (r *rig) pour(ep tcpip.Endpoint, syn seg.Segment, scale int, growing bool) (last, largest int) {
	last = 20_000
	seq, now := seqnum.Value(101), time.Duration(0)
	for range 12 {
		now += 10 * time.Millisecond
		for left := last; left > 0; {
			n := min(left, 60_000)
			r.data(syn, seq, n)
			seq, left = seq.Add(seqnum.Size(n)), left-n
			r.all()
		}
		took := len(contents(r.t, ep))
		if growing {
			ep.ModerateRecvBuf(took)
		}
		r.at(now)
		r.data(syn, seq, 1)
		seq = seq.Add(1)
		all := r.all()
		if len(all) == 0 {
			r.t.Fatal("no acknowledgement")
		}
		last = int(all[len(all)-1].Window()) * scale
		largest = max(largest, last)
	}
	return last, largest
}

// TestPinSendGrowth: the send buffer is twice the congestion window, up to the
// largest one, however much is written, and one that is set stays.
func TestPinSendGrowth(t *testing.T) {
	covers.IDs(t, "PIN-send-growth")
	const first, most = 64 << 10, 256 << 10
	for _, set := range []bool{false, true} {
		r := newBareRig(t)
		size := tcpip.TCPSendBufferSizeRangeOption{Min: stack.DefaultBufferMin, Default: first, Max: most}
		if err := r.ns.SetTransportProtocolOption(tcp.ProtocolNumber, &size); err != nil {
			t.Fatal(err)
		}
		ep, syn, _ := r.openWide()
		if set {
			ep.SocketOptions().SetSendBufferSize(first, true)
		}
		for range 12 {
			_, _ = ep.Write(bytes.NewReader(make([]byte, 2*most)), tcpip.WriteOptions{})
			for sent := r.all(); len(sent) > 0; sent = r.all() {
				r.clock.Advance(10 * time.Millisecond)
				r.answer(syn, seg.ACK, 101, sent[len(sent)-1].End(), nil, nil)
			}
		}
		got, want := int(ep.SocketOptions().GetSendBufferSize()), most
		if set {
			want = first
		}
		if got != want {
			t.Errorf("set %v: the send buffer has %d bytes, want %d", set, got, want)
		}
	}
}
