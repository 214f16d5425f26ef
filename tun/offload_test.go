package tun

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/internal/vnet"
)

var allOffers = frame.Offloads{Checksum: true, TSO4: true, TSO6: true, MaxSize: maxMTU}

// offering is a device that has agreed to everything but USO.
func offering(t *testing.T, steps ...step) *scripted {
	return newScriptedDevice(t, &Device{mtu: 1500, offers: allOffers}, true, steps...)
}

func withHeader(o frame.Offload, packet []byte) step {
	h := make([]byte, vnet.Size)
	vnet.Encode(h, o)
	return step{packet: append(h, packet...)}
}

var tso = frame.Offload{GSO: frame.GSOTCPv4, GSOSize: 1000, HdrLen: 40, Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 16}

func TestReadWithHeaders(t *testing.T) {
	partial := frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 16}
	lie := withHeader(partial, ip4(60, 60))
	lie.packet[6] = 0xff // csum_start
	q := offering(t,
		withHeader(tso, ip4(9000, 9000)),
		step{packet: make([]byte, vnet.Size)}, // a header and nothing behind it
		step{packet: make([]byte, 3)},         // not even a header
		lie,                                   // counted, not delivered
		withHeader(frame.Offload{}, ip4(65535, 65535)), // the largest
		withHeader(frame.Offload{Checksum: frame.ChecksumValid}, ip4(40, 40)),
		withHeader(partial, ip4(60, 60)),
	)
	batch := room(8, 128, 65535)
	n, err := q.read(batch)
	if n != 4 || err != nil {
		t.Fatalf("got %d, %v; want four", n, err)
	}
	want := []struct {
		size int
		o    frame.Offload
	}{{9000, tso}, {65535, frame.Offload{}}, {40, frame.Offload{Checksum: frame.ChecksumValid}}, {60, partial}}
	for i, w := range want {
		if batch[i].Size != w.size || batch[i].Offload != w.o {
			t.Errorf("packet %d: %d bytes, %+v; want %+v", i, batch[i].Size, batch[i].Offload, w)
		}
		if !bytes.Equal(content(&batch[i]), ip4(w.size, w.size)) {
			t.Errorf("packet %d was changed", i)
		}
	}
	if got := q.stats.readBadOffload.Load(); got != 1 {
		t.Errorf("counted %d headers that lie, want 1", got)
	}
	if got := q.stats.readMalformed.Load(); got != 2 {
		t.Errorf("counted %d empty packets, want 2", got)
	}
}

// TestReadNeedsRoomForSuperSegments, whatever the MTU.
func TestReadNeedsRoomForSuperSegments(t *testing.T) {
	q := offering(t, withHeader(frame.Offload{}, ip4(40, 40)))
	if _, err := q.read(room(1, 65534)); !errors.Is(err, io.ErrShortBuffer) {
		t.Errorf("one byte short: %v", err)
	}
}

func TestWriteWithHeaders(t *testing.T) {
	big := frame.Packet{Views: [][]byte{ip4(9000, 9000)[:52], ip4(9000, 9000)[52:]}, Size: 9000, Offload: tso}
	small := full(ip4(40, 40))
	q := offering(t, step{}, step{})
	if n, err := q.write([]frame.Packet{big, small}); n != 2 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	for i, want := range []step{withHeader(tso, ip4(9000, 9000)), withHeader(frame.Offload{}, ip4(40, 40))} {
		if !bytes.Equal(q.wrote[i], want.packet) {
			t.Errorf("packet %d left as % x...", i, q.wrote[i][:vnet.Size])
		}
	}
}

// TestWriteRefusedSuperSegment: it is the caller's to cut, not lost; an ordinary
// packet that the kernel will not have is lost, as on any wire.
func TestWriteRefusedSuperSegment(t *testing.T) {
	big := frame.Packet{Views: [][]byte{ip4(9000, 9000)}, Size: 9000, Offload: tso}
	for _, errno := range []error{unix.EINVAL, unix.EMSGSIZE, unix.EOPNOTSUPP} {
		q := offering(t, step{}, step{err: errno}, step{})
		n, err := q.write([]frame.Packet{full(ip4(40, 40)), big, full(ip4(40, 40))})
		if n != 1 || !errors.Is(err, ErrOffload) {
			t.Errorf("%v: got %d, %v; want 1, ErrOffload", errno, n, err)
		}
		if got := q.stats.writeSegmentsRefused.Load(); got != 1 {
			t.Errorf("%v: counted %d", errno, got)
		}
	}
}

// TestWriteRefusesFactsThatLie before the kernel sees them.
func TestWriteRefusesFactsThatLie(t *testing.T) {
	lie := func(change func(*frame.Offload)) frame.Packet {
		p := frame.Packet{Views: [][]byte{ip4(9000, 9000)}, Size: 9000, Offload: tso}
		change(&p.Offload)
		return p
	}
	for name, c := range map[string]struct {
		p    frame.Packet
		want error
	}{
		"segments of nothing":      {lie(func(o *frame.Offload) { o.GSOSize = 0 }), ErrPacket},
		"headers past the end":     {lie(func(o *frame.Offload) { o.HdrLen = 9000 }), ErrPacket},
		"a sum past the end":       {lie(func(o *frame.Offload) { o.CsumStart = 8999 }), ErrPacket},
		"a finished sum":           {lie(func(o *frame.Offload) { o.Checksum = frame.ChecksumUnknown }), ErrPacket},
		"USO without the kernel's": {lie(func(o *frame.Offload) { o.GSO = frame.GSOUDP }), ErrOffload},
		"a kind that is none":      {lie(func(o *frame.Offload) { o.GSO = 9 }), ErrOffload},
		"a state that is none":     {lie(func(o *frame.Offload) { o.Checksum = 9 }), ErrOffload},
	} {
		q := offering(t)
		if n, err := q.write([]frame.Packet{c.p}); n != 0 || !errors.Is(err, c.want) || len(q.wrote) != 0 {
			t.Errorf("%s: got %d, %v; want %v", name, n, err, c.want)
		}
	}
}

func TestQueues(t *testing.T) {
	ownNetns(t)
	d := mustOpen(t, Config{Queues: 3})
	if d.Queues() != 3 {
		t.Fatalf("%d queues", d.Queues())
	}
	ended := make(chan error, 3)
	for q := range 3 {
		go func() {
			for {
				if _, err := d.Read(q, room(1, 65535)); err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	for range 3 {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Errorf("a Read ended with %v", err)
		}
	}
	refused(t, Config{Queues: -1}, ErrBadConfig, "Queues")
	refused(t, Config{Queues: maxQueues + 1}, ErrBadConfig, "Queues")
	a := newAdmin(t)
	a.prepare("t1", baseFlags)
	refused(t, Config{Name: "t1", Queues: 2}, ErrBadConfig, "one queue only")
}
