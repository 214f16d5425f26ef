package iolink_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// inbound is one answer of the fake device to a Read.
type inbound struct {
	data []byte
	off  frame.Offload
	err  error
	none bool // return 0, nil
}

// device is a Device made of functions and channels.
type device struct {
	mtu, queues int
	offers      frame.Offloads
	reads       []chan inbound
	write       func(queue int, batch []frame.Packet) (int, error)
	closeOnce   sync.Once
	closed      chan struct{}
	into        []byte // the last view of the last read
}

func newDevice(queues int) *device {
	d := &device{mtu: 1500, queues: queues, closed: make(chan struct{})}
	for range queues {
		d.reads = append(d.reads, make(chan inbound))
	}
	return d
}

func (d *device) MTU() int                 { return d.mtu }
func (d *device) Queues() int              { return d.queues }
func (d *device) Offloads() frame.Offloads { return d.offers }

func (d *device) Read(queue int, batch []frame.Packet) (int, error) {
	select {
	case in := <-d.reads[queue]:
		if in.none || in.err != nil {
			return 0, in.err
		}
		rest := in.data
		for _, v := range batch[0].Views {
			rest = rest[copy(v, rest):]
			d.into = v
		}
		if len(rest) > 0 {
			return 0, errors.New("the packet did not fit")
		}
		batch[0].Size, batch[0].Offload = len(in.data), in.off
		return 1, nil
	case <-d.closed:
		return 0, os.ErrClosed
	}
}

func (d *device) Write(queue int, batch []frame.Packet) (int, error) {
	return d.write(queue, batch)
}

func (d *device) Close() error {
	d.closeOnce.Do(func() { close(d.closed) })
	return nil
}

// got is a packet that the link delivered.
type got struct {
	proto tcpip.NetworkProtocolNumber
	data  []byte
}

// sink is a NetworkDispatcher that copies what it gets.
type sink struct{ ch chan got }

func newSink() *sink { return &sink{ch: make(chan got, 64)} }

func (s *sink) DeliverNetworkPacket(p tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	v := pkt.ToView()
	s.ch <- got{p, v.ToSlice()}
	v.Release()
}

func (*sink) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

func newLink(t *testing.T, d iolink.Device, cfg iolink.Config) *iolink.Link {
	t.Helper()
	l, err := iolink.New(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); l.Wait() })
	return l
}

func packet(version byte, size int) []byte {
	b := bytes.Repeat([]byte{0xa5}, size)
	for i := range b {
		b[i] = byte(i * 7)
	}
	b[0] = version << 4
	return b
}

func TestReadDispatchesByVersion(t *testing.T) {
	d, s := newDevice(1), newSink()
	l := newLink(t, d, iolink.Config{})
	l.Attach(s)
	// Around the buffers' seam, around the size that is kept whole, the largest.
	for _, size := range []int{20, 127, 128, 129, 1500, 16 << 10, 16<<10 + 1, 65535} {
		for version, want := range map[byte]tcpip.NetworkProtocolNumber{4: header.IPv4ProtocolNumber, 6: header.IPv6ProtocolNumber} {
			data := packet(version, size)
			d.reads[0] <- inbound{data: data}
			g := <-s.ch
			if g.proto != want || !bytes.Equal(g.data, data) {
				t.Errorf("size %d, version %d: delivered as %#x with %d bytes, equal %v", size, version, g.proto, len(g.data), bytes.Equal(g.data, data))
			}
		}
	}
	for _, bad := range [][]byte{{}, packet(5, 40), packet(0, 40), packet(15, 1)} {
		d.reads[0] <- inbound{data: bad}
	}
	d.reads[0] <- inbound{data: packet(4, 20)} // behind the bad ones, so they have been counted
	<-s.ch
	if st := l.Stats(); st.RxNotIP != 4 || st.RxPackets != 17 {
		t.Errorf("counters: %+v", st)
	}
}

// TestReadKeepsPackets keeps packets while more are read: each must have memory
// of its own, a small one no more than it needs, and a large one what it was read into:
// it is not copied.
func TestReadKeepsPackets(t *testing.T) {
	d := newDevice(1)
	l := newLink(t, d, iolink.Config{})
	k := &keeper{ch: make(chan *gstack.PacketBuffer)}
	l.Attach(k)
	for _, size := range []int{100, 1500, 40000} {
		var kept []*gstack.PacketBuffer
		for i := range 20 {
			data := packet(4, size)
			data[size-1] = byte(i)
			d.reads[0] <- inbound{data: data}
			kept = append(kept, <-k.ch)
			list, _ := kept[i].AsViewList()
			if large := size == 40000; large != (&list.Back().AsSlice()[0] == &d.into[0]) {
				t.Errorf("size %d: that it has what it was read into is %v", size, !large)
			}
		}
		for i, pkt := range kept {
			list, _ := pkt.AsViewList()
			if c := list.Back().Capacity(); c > 2*size+128 {
				t.Errorf("a packet of %d bytes pins %d", size, c)
			}
			if last := list.Back().AsSlice(); last[len(last)-1] != byte(i) {
				t.Errorf("size %d: packet %d was overwritten", size, i)
			}
			pkt.DecRef()
		}
	}
}

type keeper struct{ ch chan *gstack.PacketBuffer }

func (k *keeper) DeliverNetworkPacket(_ tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	k.ch <- pkt.Clone()
}
func (*keeper) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

func TestReadCompletesPartialChecksum(t *testing.T) {
	d, s := newDevice(1), newSink()
	l := newLink(t, d, iolink.Config{})
	l.Attach(s)
	for _, size := range []int{60, 61, 200, 1500, 40001} {
		data := packet(4, size)
		pseudo := uint16(0x1234)
		data[36], data[37] = byte(pseudo>>8), byte(pseudo)
		d.reads[0] <- inbound{data: data, off: frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 16}}
		g := <-s.ch
		// With the complement of the sum in the field, everything from CsumStart on
		// and the pseudo-header (which the field held) add up to all ones.
		if sum := checksum.Checksum(g.data[20:], pseudo); sum != 0xffff {
			t.Errorf("size %d: the completed packet sums up to %#x", size, sum)
		}
		g.data[36], g.data[37] = data[36], data[37]
		if !bytes.Equal(g.data, data) {
			t.Errorf("size %d: bytes outside the checksum changed", size)
		}
	}
	// A UDP sum that comes out as zero is sent as all ones.
	zero := make([]byte, 28)
	zero[0], zero[26], zero[27] = 0x45, 0xff, 0xff
	d.reads[0] <- inbound{data: zero, off: frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 6}}
	if g := <-s.ch; g.data[26] != 0xff || g.data[27] != 0xff {
		t.Errorf("UDP checksum of zero: % x", g.data[26:])
	}
	for _, o := range []frame.Offload{
		{Checksum: frame.ChecksumPartial, CsumStart: 60, CsumOffset: 0},
		{Checksum: frame.ChecksumPartial, CsumStart: 40, CsumOffset: 19},
		{Checksum: frame.ChecksumPartial, CsumStart: 65535, CsumOffset: 65535},
	} {
		d.reads[0] <- inbound{data: packet(4, 60), off: o}
	}
	d.reads[0] <- inbound{data: packet(4, 60), off: frame.Offload{GSO: frame.GSOUDP, GSOSize: 10}}
	d.reads[0] <- inbound{data: packet(6, 60), off: frame.Offload{Checksum: frame.ChecksumValid}}
	<-s.ch
	if st := l.Stats(); st.RxMalformed != 4 {
		t.Errorf("counters: %+v", st)
	}
}

func TestReadErrors(t *testing.T) {
	d, s := newDevice(2), newSink()
	failed := make(chan string, 1)
	clock := faketime.NewManualClock()
	l := newLink(t, d, iolink.Config{Clock: clock, OnReadFailure: func(queue int, err error) {
		failed <- fmt.Sprint(queue, " ", err)
	}})
	l.Attach(s)
	// The first failure in a row is retried at once, the next ones after a pause
	// on the clock; the device comes back.
	bad := []inbound{{err: syscall.EINTR}, {err: syscall.EIO}, {none: true}, {err: errors.New("odd")}}
	for range 2 {
		for _, in := range bad {
			offer(clock, d.reads[0], in)
		}
		offer(clock, d.reads[0], inbound{data: packet(4, 20)})
		<-s.ch
	}
	if st := l.Stats(); st.ReadErrors != 8 || st.ReadersFailed != 0 {
		t.Errorf("counters after transient errors: %+v", st)
	}
	// A fatal one ends that queue's reader and no other.
	d.reads[1] <- inbound{err: fmt.Errorf("read tun: %w", syscall.EBADFD)}
	if f := <-failed; f != "1 read tun: "+syscall.EBADFD.Error() {
		t.Errorf("reported: %s", f)
	}
	d.reads[0] <- inbound{data: packet(4, 20)}
	<-s.ch
	if st := l.Stats(); st.ReadersFailed != 1 {
		t.Errorf("counters after a fatal error: %+v", st)
	}
}

// offer hands in to the reader, moving the clock whenever it pauses.
func offer(clock *faketime.ManualClock, ch chan<- inbound, in inbound) {
	for {
		select {
		case ch <- in:
			return
		default:
			clock.Advance(time.Millisecond)
		}
	}
}

func TestCloseEndsAPause(t *testing.T) {
	d := newDevice(1)
	l := newLink(t, d, iolink.Config{Clock: faketime.NewManualClock()})
	l.Attach(newSink())
	d.reads[0] <- inbound{err: syscall.EIO}
	d.reads[0] <- inbound{err: syscall.EIO} // now it pauses on a clock that stands still
	l.Close()
	l.Wait()
}

func TestLifecycle(t *testing.T) {
	for name, end := range map[string]func(*iolink.Link){
		"Close":       (*iolink.Link).Close,
		"Attach(nil)": func(l *iolink.Link) { l.Attach(nil) },
	} {
		d := newDevice(3)
		l := newLink(t, d, iolink.Config{})
		l.Wait() // nothing runs yet
		l.Attach(newSink())
		if !l.IsAttached() {
			t.Errorf("%s: not attached after Attach", name)
		}
		end(l)
		l.Wait()
		end(l)
		l.Attach(newSink()) // too late: no reader may start
		l.Wait()
		if l.IsAttached() {
			t.Errorf("%s: attached after the end", name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, d := range []*device{{mtu: 67, queues: 1}, {mtu: 65536, queues: 1}, {mtu: 1500, queues: 0}} {
		if _, err := iolink.New(d, iolink.Config{}); err == nil {
			t.Errorf("a device with MTU %d and %d queues was taken", d.mtu, d.queues)
		}
	}
	if _, err := iolink.New(nil, iolink.Config{}); err == nil {
		t.Error("no device was taken for one")
	}
}

func TestSetMTU(t *testing.T) {
	l := newLink(t, newDevice(1), iolink.Config{})
	l.SetMTU(1280)
	l.SetMTU(67)
	l.SetMTU(65536)
	if l.MTU() != 1280 {
		t.Errorf("MTU is %d", l.MTU())
	}
}

// outbound makes a packet as netstack does: headers pushed into reserved space,
// data in a view of its own.
func outbound(payload []byte, hash uint32) *gstack.PacketBuffer {
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
		ReserveHeaderBytes: 100,
		Payload:            buffer.MakeWithData(payload),
	})
	copy(pkt.TransportHeader().Push(20), "transport-header-...")
	copy(pkt.NetworkHeader().Push(20), "network-header-.....")
	pkt.Hash = hash
	return pkt
}

func list(pkts ...*gstack.PacketBuffer) gstack.PacketBufferList {
	var l gstack.PacketBufferList
	for _, p := range pkts {
		l.PushBack(p)
	}
	return l
}

func flat(p frame.Packet) string {
	return string(bytes.Join(p.Views, nil))
}

func TestWrite(t *testing.T) {
	d := newDevice(2)
	var queues []int
	var seen []string
	d.write = func(queue int, batch []frame.Packet) (int, error) {
		queues = append(queues, queue)
		for _, p := range batch {
			if p.Size != len(flat(p)) || p.Offload != (frame.Offload{}) {
				t.Errorf("size %d of %d bytes, offload %+v", p.Size, len(flat(p)), p.Offload)
			}
			seen = append(seen, flat(p))
		}
		return len(batch), nil
	}
	l := newLink(t, d, iolink.Config{})
	const head = "network-header-.....transport-header-..."
	a, b, c := outbound([]byte("one"), 7), outbound(nil, 7), outbound([]byte("three"), 8)
	defer a.DecRef()
	defer b.DecRef()
	defer c.DecRef()
	if n, err := l.WritePackets(list(a, b)); n != 2 || err != nil {
		t.Errorf("WritePackets = %d, %v", n, err)
	}
	if n, err := l.WritePackets(list(c)); n != 1 || err != nil {
		t.Errorf("WritePackets = %d, %v", n, err)
	}
	if want := []string{head + "one", head, head + "three"}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("written: %q", seen)
	}
	if fmt.Sprint(queues) != "[1 0]" {
		t.Errorf("queues by hash: %v", queues)
	}
	if st := l.Stats(); st.TxPackets != 3 || st.TxBytes != uint64(3*len(head)+8) {
		t.Errorf("counters: %+v", st)
	}
}

func TestWriteRefusals(t *testing.T) {
	for _, c := range []struct {
		err   error
		taken int // of three packets of which the device refuses the second
		want  tcpip.Error
		stats iolink.Stats
	}{
		{syscall.ENOBUFS, 2, &tcpip.ErrNoBufferSpace{}, iolink.Stats{TxPackets: 2, TxBytes: 80, TxNoBuffer: 1}},
		{nil, 2, &tcpip.ErrNoBufferSpace{}, iolink.Stats{TxPackets: 2, TxBytes: 80, TxNoBuffer: 1}},
		{syscall.EMSGSIZE, 2, &tcpip.ErrMessageTooLong{}, iolink.Stats{TxPackets: 2, TxBytes: 80, TxErrors: 1}},
		{syscall.EIO, 2, &tcpip.ErrNetworkUnreachable{}, iolink.Stats{TxPackets: 2, TxBytes: 80, TxErrors: 1}},
		{os.ErrClosed, 1, &tcpip.ErrClosedForSend{}, iolink.Stats{TxPackets: 1, TxBytes: 40, TxClosed: 2}},
	} {
		d := newDevice(1)
		first := true
		d.write = func(_ int, batch []frame.Packet) (int, error) {
			if first {
				first = false
				return 1, c.err
			}
			return len(batch), nil
		}
		l := newLink(t, d, iolink.Config{})
		pkts := []*gstack.PacketBuffer{outbound(nil, 0), outbound(nil, 0), outbound(nil, 0)}
		n, err := l.WritePackets(list(pkts...))
		if n != c.taken || fmt.Sprintf("%T", err) != fmt.Sprintf("%T", c.want) {
			t.Errorf("%v: WritePackets = %d, %v", c.err, n, err)
		}
		if l.Stats() != c.stats {
			t.Errorf("%v: counters %+v", c.err, l.Stats())
		}
		for _, p := range pkts {
			p.DecRef()
		}
	}
}

func TestWriteAfterClose(t *testing.T) {
	d := newDevice(1)
	d.write = func(int, []frame.Packet) (int, error) {
		t.Error("the device was written to after Close")
		return 0, os.ErrClosed
	}
	l := newLink(t, d, iolink.Config{})
	l.Close()
	p := outbound(nil, 0)
	defer p.DecRef()
	if n, err := l.WritePackets(list(p)); n != 0 || err == nil {
		t.Errorf("WritePackets = %d, %v", n, err)
	}
}

func TestWriteConcurrently(t *testing.T) {
	d := newDevice(1)
	d.write = func(_ int, batch []frame.Packet) (int, error) {
		for _, p := range batch {
			if s := flat(p); s[40] != s[len(s)-1] {
				return 0, fmt.Errorf("mixed packet %q", s[40:])
			}
		}
		return len(batch), nil
	}
	l := newLink(t, d, iolink.Config{})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 200 {
				p := outbound(bytes.Repeat([]byte{byte('a' + g)}, 30), uint32(g))
				if n, err := l.WritePackets(list(p)); n != 1 {
					t.Errorf("WritePackets = %d, %v", n, err)
				}
				p.DecRef()
			}
		})
	}
	wg.Wait()
}

func TestWriteDoesNotAllocate(t *testing.T) {
	d := newDevice(1)
	d.write = func(_ int, batch []frame.Packet) (int, error) { return len(batch), nil }
	l := newLink(t, d, iolink.Config{})
	p := outbound(make([]byte, 1400), 3)
	defer p.DecRef()
	pkts := list(p)
	if n := testing.AllocsPerRun(500, func() {
		if n, err := l.WritePackets(pkts); n != 1 {
			t.Fatal(n, err)
		}
	}); n >= 1 && !raceEnabled {
		t.Errorf("WritePackets allocates %v times", n)
	}
}
