package iolink_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/capture"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
)

var offers = frame.Offloads{Checksum: true, TSO4: true, TSO6: true, MaxSize: 65535}

// TestCapabilities: what the device offers is what netstack is told.
func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		offers   frame.Offloads
		gso      gstack.SupportedGSO
		verifies bool
	}{
		{frame.Offloads{}, gstack.GSONotSupported, false},
		{offers, gstack.HostGSOSupported, true},
		{frame.Offloads{Checksum: true}, gstack.GSONotSupported, true},
		{frame.Offloads{Checksum: true, TSO4: true, MaxSize: 65535}, gstack.GSONotSupported, true},
	} {
		d := newDevice(1)
		d.offers = c.offers
		l := newLink(t, d, iolink.Config{})
		if l.SupportedGSO() != c.gso || l.GSOMaxSize() != uint32(c.offers.MaxSize) || (l.Capabilities() != 0) != c.verifies {
			t.Errorf("%+v: GSO %v up to %d, capabilities %#x", c.offers, l.SupportedGSO(), l.GSOMaxSize(), l.Capabilities())
		}
	}
}

// TestWrappersShowSuperSegments: a wrapper that hides the capability costs all of
// it, and nothing says so.
func TestWrappersShowSuperSegments(t *testing.T) {
	covers.IDs(t, "H-28")
	d := newDevice(1)
	d.offers = offers
	recorded, err := capture.New(newLink(t, d, iolink.Config{}), nil, capture.Config{})
	if err != nil {
		t.Fatal(err)
	}
	opening, err := fastopen.New(recorded, fastopen.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opening.Close(); opening.Wait() })
	var top gstack.LinkEndpoint = opening
	gso, ok := top.(gstack.GSOEndpoint)
	if !ok || gso.SupportedGSO() != gstack.HostGSOSupported || gso.GSOMaxSize() != 65535 {
		t.Errorf("%T hides super-segments", top)
	}
}

// large is a super-segment as netstack makes one.
func large(v6 bool, payload int) *gstack.PacketBuffer {
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
		ReserveHeaderBytes: 100,
		Payload:            buffer.MakeWithData(make([]byte, payload)),
	})
	header.TCP(pkt.TransportHeader().Push(32)).Encode(&header.TCPFields{DataOffset: 32, Flags: header.TCPFlagAck})
	pkt.GSOOptions = gstack.GSO{Type: gstack.GSOTCPv4, NeedsCsum: true, CsumOffset: header.TCPChecksumOffset, MSS: 1000, MaxSize: 65535}
	if v6 {
		pkt.GSOOptions.Type = gstack.GSOTCPv6
		header.IPv6(pkt.NetworkHeader().Push(40)).Encode(&header.IPv6Fields{PayloadLength: uint16(32 + payload), TransportProtocol: 6})
		return pkt
	}
	header.IPv4(pkt.NetworkHeader().Push(20)).Encode(&header.IPv4Fields{TotalLength: uint16(52 + payload), Protocol: 6})
	return pkt
}

func TestWriteOffloads(t *testing.T) {
	d := newDevice(1)
	d.offers = offers
	var got []frame.Packet
	d.write = func(_ int, batch []frame.Packet) (int, error) {
		for _, p := range batch {
			p.Views = [][]byte{bytes.Join(p.Views, nil)}
			got = append(got, p)
		}
		return len(batch), nil
	}
	l := newLink(t, d, iolink.Config{})
	for _, c := range []struct {
		v6      bool
		payload int
		want    frame.Offload
	}{
		{false, 60000, frame.Offload{GSO: frame.GSOTCPv4, Checksum: frame.ChecksumPartial, GSOSize: 1000, HdrLen: 52, CsumStart: 20, CsumOffset: 16}},
		{true, 60000, frame.Offload{GSO: frame.GSOTCPv6, Checksum: frame.ChecksumPartial, GSOSize: 1000, HdrLen: 72, CsumStart: 40, CsumOffset: 16}},
		{false, 1000, frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 16}},
		{true, 0, frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 40, CsumOffset: 16}},
	} {
		got = nil
		p := large(c.v6, c.payload)
		if n, err := l.WritePackets(list(p)); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if len(got) != 1 || got[0].Offload != c.want || got[0].Size != p.Size() {
			t.Errorf("v6 %v, %d bytes: %+v", c.v6, c.payload, got)
		}
		p.DecRef()
	}
}

// TestRefusedSuperSegmentIsCut: nothing is lost, one line says so, and new
// connections are told.
func TestRefusedSuperSegmentIsCut(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		d := newDevice(1)
		d.offers = offers
		var sizes []int
		d.write = func(_ int, batch []frame.Packet) (int, error) {
			for i, p := range batch {
				if p.Offload.GSO != frame.GSONone {
					return i, fmt.Errorf("not this kernel: %w", syscall.EOPNOTSUPP)
				}
				sizes = append(sizes, p.Size)
			}
			return len(batch), nil
		}
		var log strings.Builder
		l := newLink(t, d, iolink.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		pkts := []*gstack.PacketBuffer{large(v6, 10), large(v6, 2500), large(v6, 1001), large(v6, 20)}
		if n, err := l.WritePackets(list(pkts...)); n != 4 || err != nil {
			t.Errorf("WritePackets = %d, %v", n, err)
		}
		head := 52
		if v6 {
			head = 72
		}
		want := []int{head + 10, head + 1000, head + 1000, head + 500, head + 1000, head + 1, head + 20}
		if fmt.Sprint(sizes) != fmt.Sprint(want) {
			t.Errorf("sent %v, want %v", sizes, want)
		}
		if st := l.Stats(); st.TxCut != 2 || st.TxPackets != 7 || st.TxErrors != 0 {
			t.Errorf("counters %+v", st)
		}
		if strings.Count(log.String(), "\n") != 1 {
			t.Errorf("logged %q", log.String())
		}
		if l.SupportedGSO() != gstack.GSONotSupported {
			t.Error("new connections still send super-segments")
		}
		for _, p := range pkts {
			p.DecRef()
		}
	}
}

// TestCutStopsAtARefusal: the device takes none of the parts either.
func TestCutStopsAtARefusal(t *testing.T) {
	d := newDevice(1)
	d.offers = offers
	d.write = func(_ int, batch []frame.Packet) (int, error) {
		if batch[0].Offload.GSO != frame.GSONone {
			return 0, syscall.EOPNOTSUPP
		}
		return 0, syscall.ENOBUFS
	}
	l := newLink(t, d, iolink.Config{})
	p := large(false, 5000)
	defer p.DecRef()
	if n, err := l.WritePackets(list(p)); n != 0 || err == nil {
		t.Errorf("WritePackets = %d, %v", n, err)
	}
	if st := l.Stats(); st.TxNoBuffer != 1 || st.TxPackets != 0 {
		t.Errorf("counters %+v", st)
	}
}

// TestReadVerifies: with offloads on netstack trusts the link, so the link judges
// what the device did not vouch for.
func TestReadVerifies(t *testing.T) {
	d, s := newDevice(1), newSink()
	d.offers = offers
	l := newLink(t, d, iolink.Config{})
	l.Attach(s)
	good := make([]byte, 40)
	header.TCP(good[20:]).Encode(&header.TCPFields{DataOffset: 20, Flags: header.TCPFlagAck})
	ip := header.IPv4(good)
	ip.Encode(&header.IPv4Fields{TotalLength: 40, TTL: 1, Protocol: 6})
	ip.SetChecksum(^ip.CalculateChecksum())
	d.reads[0] <- inbound{data: bytes.Clone(good)} // its TCP sum is wrong
	partial := frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 16}
	d.reads[0] <- inbound{data: bytes.Clone(good), off: partial}
	if g := <-s.ch; !bytes.Equal(g.data, good) {
		t.Error("a partial sum that nobody looks at was finished")
	}
	d.reads[0] <- inbound{data: bytes.Clone(good), off: frame.Offload{Checksum: frame.ChecksumValid}}
	<-s.ch
	if st := l.Stats(); st.RxBadChecksum != 1 || st.RxPackets != 2 {
		t.Errorf("counters %+v", st)
	}
}

// TestReadCutsDatagrams: netstack knows no UDP super-segments.
func TestReadCutsDatagrams(t *testing.T) {
	d, s := newDevice(1), newSink()
	d.offers = offers
	l := newLink(t, d, iolink.Config{})
	l.Attach(s)
	b := make([]byte, 28+2500)
	header.UDP(b[20:]).Encode(&header.UDPFields{Length: 8 + 2500})
	ip := header.IPv4(b)
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(b)), TTL: 1, Protocol: 17})
	ip.SetChecksum(^ip.CalculateChecksum())
	for i := range b[28:] {
		b[28+i] = byte(i)
	}
	d.reads[0] <- inbound{data: b, off: frame.Offload{GSO: frame.GSOUDP, GSOSize: 1000, HdrLen: 28, Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 6}}
	var payload []byte
	for _, size := range []int{1000, 1000, 500} {
		g := <-s.ch
		if len(g.data) != 28+size || !header.IPv4(g.data).IsChecksumValid() {
			t.Errorf("a datagram of %d bytes", len(g.data))
		}
		payload = append(payload, g.data[28:]...)
	}
	if !bytes.Equal(payload, b[28:]) {
		t.Error("the datagrams are not the super-segment's")
	}
	if st := l.Stats(); st.RxPackets != 3 || st.RxMalformed != 0 {
		t.Errorf("counters %+v", st)
	}
}

func TestWriteOfSuperSegmentsDoesNotAllocate(t *testing.T) {
	d := newDevice(1)
	d.offers = offers
	d.write = func(_ int, batch []frame.Packet) (int, error) { return len(batch), nil }
	l := newLink(t, d, iolink.Config{})
	p := large(false, 60000)
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
