package tun

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

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

// TestKernelLeavesChecksumsToUs, and takes them unfinished from us: the kernel
// as the judge of what we say about a packet.
func TestKernelLeavesChecksumsToUs(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			ownNetns(t)
			d := mustOpen(t, Config{Addresses: prefixes(f.prefix)})
			conn := f.udp(t)
			send(t, conn, []byte("unfinished"))
			p := f.receiveOne(t, d)
			want := frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: uint16(f.ul), CsumOffset: 6}
			if p.Offload != want {
				t.Errorf("got %+v, want %+v", p.Offload, want)
			}
			back := full(f.answer(content(&p)))
			back.Offload = p.Offload
			if n, err := d.Write(0, []frame.Packet{back}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			buf := make([]byte, 100)
			if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "unfinished" {
				t.Errorf("read %q, %v", buf[:n], err)
			}
		})
	}
}

// TestKernelCutsAndJoinsDatagrams: UDP super-segments in both directions.
func TestKernelCutsAndJoinsDatagrams(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			ownNetns(t)
			d := mustOpen(t, Config{Addresses: prefixes(f.prefix)})
			if !d.Offloads().USO {
				t.Log("the kernel knows no USO (Linux 6.2): it cuts datagrams itself")
				return
			}
			conn := f.udp(t)
			raw, err := conn.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if ctl := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1000) }); ctl != nil || err != nil {
				t.Fatal(ctl, err)
			}
			send(t, conn, bytes.Repeat([]byte("x"), 4500))
			p := f.receiveOne(t, d)
			if p.Offload.GSO != frame.GSOUDP || p.Offload.GSOSize != 1000 || p.Size != f.ul+8+4500 {
				t.Fatalf("got %d bytes, %+v", p.Size, p.Offload)
			}
			back := full(f.answer(content(&p)))
			back.Offload = p.Offload
			if n, err := d.Write(0, []frame.Packet{back}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			buf := make([]byte, 2000)
			for _, size := range []int{1000, 1000, 1000, 1000, 500} {
				if n, err := conn.Read(buf); err != nil || n != size {
					t.Errorf("read %d, %v; want %d", n, err, size)
				}
			}
		})
	}
}

// receiveOne is receive, with the offload facts.
func (f family) receiveOne(t testing.TB, d *Device) frame.Packet {
	t.Helper()
	stop := time.AfterFunc(limit, func() { _ = d.Close() })
	defer stop.Stop()
	for {
		batch := room(1, 65535)
		if _, err := d.Read(0, batch); err != nil {
			t.Fatal(err)
		}
		if p := batch[0]; f.mine(content(&p)) {
			return p
		}
	}
}

// TestOffloadIsSaidOnce: where there is none, one line says so and why.
func TestOffloadIsSaidOnce(t *testing.T) {
	ownNetns(t)
	a := newAdmin(t)
	a.prepare("t0", baseFlags) // one queue: no place for ours beside water's
	var log bytes.Buffer
	d := mustOpen(t, Config{Name: "t0", Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if o := d.Offloads(); o != (frame.Offloads{}) {
		t.Errorf("offloads %+v", o)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "t0 has no virtio_net headers") {
		t.Errorf("logged %q", got)
	}
	log.Reset()
	mustOpen(t, Config{NoOffload: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if log.Len() > 0 {
		t.Errorf("what was not wanted is missed: %q", log.String())
	}
}

// TestAdoptedDeviceKeepsNoOffload: what the kernel may leave undone is the
// device's property. Whoever opens it next without headers must get whole packets.
func TestAdoptedDeviceKeepsNoOffload(t *testing.T) {
	ownNetns(t)
	f := families[0]
	a := newAdmin(t)
	a.prepare("t0", baseFlags|unix.IFF_MULTI_QUEUE)
	d := mustOpen(t, Config{Name: "t0", Addresses: prefixes(f.prefix)})
	if !d.Offloads().Checksum {
		t.Fatalf("a device with room for two queues has no offloads: %+v", d.Offloads())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = mustOpen(t, Config{Name: "t0", NoOffload: true, Addresses: prefixes(f.prefix)})
	send(t, f.udp(t), []byte("whole?"))
	packet := f.receive(t, d, 1, room(4, 65535))[0]
	back := f.answer(packet)
	if n, err := d.Write(0, []frame.Packet{full(back)}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if s := d.Stats(); s.WriteRejected != 0 {
		t.Errorf("%+v", s)
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
