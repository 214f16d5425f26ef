package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/tun/internal/vnet"
)

// What the kernel, or somebody in its name, may do to a device. BEHAVIOUR.md lists
// it, with the tests of the rooms above.

// TestBadKernels: one that knows no virtio_net headers, and those that refuse offloads.
// The device then moves ordinary packets with complete checksums, or does without what
// is missing, and one line says so; on one that was there before as well.
func TestBadKernels(t *testing.T) {
	covers.IDs(t, "H-36")
	system := systemKernel()
	all := frame.Offloads{Checksum: true, TSO4: true, TSO6: true, MaxSize: maxMTU}
	for name, c := range map[string]struct {
		change func(*kernel)
		want   frame.Offloads
		line   string // logged; empty: none
	}{
		"no virtio_net headers": {func(k *kernel) {
			k.attach = func(n *node, name string, flags uint16) (string, error) {
				if flags&unix.IFF_VNET_HDR != 0 {
					return "", unix.EINVAL
				}
				return system.attach(n, name, flags)
			}
		}, frame.Offloads{}, "has no virtio_net headers"},
		"neither headers nor TUNSETOFFLOAD": {func(k *kernel) {
			k.attach = func(n *node, name string, flags uint16) (string, error) {
				if flags&unix.IFF_VNET_HDR != 0 {
					return "", unix.EINVAL
				}
				return system.attach(n, name, flags)
			}
			k.setOffload = func(int, uint) error { return unix.ENOTTY }
		}, frame.Offloads{}, "has no virtio_net headers"},
		"offloads refused": {func(k *kernel) {
			k.setOffload = func(fd int, features uint) error {
				if features != 0 {
					return unix.EINVAL
				}
				return system.setOffload(fd, features)
			}
		}, frame.Offloads{}, "the kernel refuses offloads"},
		"no TUNSETOFFLOAD": {func(k *kernel) {
			k.setOffload = func(int, uint) error { return unix.EINVAL }
		}, frame.Offloads{}, "the kernel refuses offloads"},
		"no UDP super-segments": {func(k *kernel) { // Linux before 6.2
			k.setOffload = func(fd int, features uint) error {
				if features&offloadRequestUSO != 0 {
					return unix.EINVAL
				}
				return system.setOffload(fd, features)
			}
		}, all, ""},
	} {
		for _, adopted := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "", true: ", adopted"}[adopted], func(t *testing.T) {
				ownNetns(t)
				if adopted {
					newAdmin(t).prepare("t0", baseFlags|unix.IFF_MULTI_QUEUE)
				}
				k := system
				c.change(&k)
				var log bytes.Buffer
				d, err := open(&Config{
					Name: "t0", Queues: 2, Addresses: prefixes(families[0].prefix, families[1].prefix),
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
				}, k)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := d.Close(); err != nil {
						t.Error(err)
					}
				})
				if d.Offloads() != c.want {
					t.Errorf("offloads %+v, want %+v", d.Offloads(), c.want)
				}
				for _, f := range families {
					f.exchange(t, d)
				}
				if s := d.Stats(); s != (Stats{}) {
					t.Errorf("packets were lost: %+v", s)
				}
				if lines := strings.Count(log.String(), "\n"); c.line == "" && lines > 0 || c.line != "" && (lines != 1 || !strings.Contains(log.String(), c.line)) {
					t.Errorf("logged %q, want one line with %q", log.String(), c.line)
				}
			})
		}
	}
}

// exchange sends a datagram to a device and an answer back. What the device does not
// offer to leave undone has to be done.
func (f family) exchange(t *testing.T, d *Device) {
	t.Helper()
	conn := f.udp(t)
	payload := bytes.Repeat([]byte("checksum "), 100)
	send(t, conn, payload)
	p := f.receiveOn(t, d)
	if (p.Offload.Checksum == frame.ChecksumPartial) != d.Offloads().Checksum {
		t.Errorf("%s: the packet has %+v, the device offers %+v", f.name, p.Offload, d.Offloads())
	}
	if n, err := d.Write(1, []frame.Packet{f.answer(p)}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	buf := make([]byte, 2000)
	if n, err := conn.Read(buf); err != nil || !bytes.Equal(buf[:n], payload) {
		t.Errorf("%s: the kernel received %d bytes, %v", f.name, n, err)
	}
}

// receiveOn is the first packet of ours on any queue.
func (f family) receiveOn(t *testing.T, d *Device) frame.Packet {
	t.Helper()
	type result struct {
		p   frame.Packet
		err error
	}
	results := make(chan result)
	stop := make(chan struct{})
	defer close(stop)
	for q := range d.Queues() {
		go func() {
			for {
				batch := room(1, 65535)
				_, err := d.Read(q, batch)
				if err == nil && !f.mine(content(&batch[0])) {
					continue
				}
				select {
				case results <- result{batch[0], err}:
				case <-stop:
				}
				return
			}
		}()
	}
	r := <-results
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.p
}

// TestBadHeaders: virtio_net headers that lie about the packet behind them. Each such
// packet is dropped whole and counted, the first is said, and the next good one is
// delivered as it is.
func TestBadHeaders(t *testing.T) {
	covers.IDs(t, "H-37")
	super := ip4(9000, 9000)
	field := func(at int, value uint16) func(h, p []byte) {
		return func(h, _ []byte) { binary.NativeEndian.PutUint16(h[at:], value) }
	}
	kind := func(k byte) func(h, p []byte) { return func(h, _ []byte) { h[1] = k } }
	for name, lie := range map[string]func(header, packet []byte){
		"gso_size 0":                     field(4, 0),
		"hdr_len past the end":           field(2, 9001),
		"csum_start past the end":        field(6, 9000),
		"csum_start and offset overflow": func(h, p []byte) { field(6, 65535)(h, p); field(8, 65535)(h, p) },
		"csum_start in the IP header":    field(6, 10),
		"csum_offset past the end":       field(8, 8980),
		"TSO6 on IPv4":                   kind(4),
		"TSO4 on IPv6": func(h, p []byte) {
			p[0] = 0x60
			binary.BigEndian.PutUint16(p[4:], 9000-40)
			field(6, 40)(h, p)
		},
		"a kind that is none":             kind(77),
		"TSO4 with ECN, not agreed on":    kind(0x81),
		"a super-segment with a good sum": func(h, _ []byte) { h[0] = 2 },
		"IP announces less":               func(_, p []byte) { binary.BigEndian.PutUint16(p[2:], 8999) },
	} {
		t.Run(name, func(t *testing.T) {
			bad := withHeader(tso, super)
			lie(bad.packet[:vnet.Size], bad.packet[vnet.Size:])
			var log bytes.Buffer
			d := &Device{mtu: 1500, offers: allOffers, log: slog.New(slog.NewTextHandler(&log, nil))}
			q := newScriptedDevice(t, d, true, bad, bad, withHeader(tso, super))
			batch := room(4, 65535)
			n, err := q.read(batch)
			if n != 1 || err != nil || batch[0].Offload != tso || !bytes.Equal(content(&batch[0]), super) {
				t.Errorf("read %d, %v, %+v; want the good one", n, err, batch[0].Offload)
			}
			if got := q.stats.readBadOffload.Load(); got != 2 || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("counted %d of 2, logged %q", got, log.String())
			}
		})
	}
	// The length of the headers is a hint (virtio 1.2, 5.1.6.4): one that is too short
	// is no lie. A header that announces more than is there is that of a cut packet.
	short := tso
	short.HdrLen = 0
	q := offering(t, withHeader(short, super), withHeader(tso, ip4(9000, 9001)))
	if n, err := q.read(room(4, 65535)); n != 1 || err != nil || q.stats.readTruncated.Load() != 1 {
		t.Errorf("hdr_len 0: read %d, %v; %d cut", n, err, q.stats.readTruncated.Load())
	}
}

// TestBadFactsAreNotWritten: we tell no such lies either.
func TestBadFactsAreNotWritten(t *testing.T) {
	covers.IDs(t, "H-37")
	for name, change := range map[string]func(*frame.Packet){
		"TSO6 on IPv4":       func(p *frame.Packet) { p.Offload.GSO = frame.GSOTCPv6 },
		"TSO4 on version 5":  func(p *frame.Packet) { p.Views[0][0] = 0x55 },
		"IP announces less":  func(p *frame.Packet) { binary.BigEndian.PutUint16(p.Views[0][2:], 8999) },
		"IP announces more":  func(p *frame.Packet) { binary.BigEndian.PutUint16(p.Views[0][2:], 9001) },
		"segments of 0":      func(p *frame.Packet) { p.Offload.GSOSize = 0 },
		"headers past it":    func(p *frame.Packet) { p.Offload.HdrLen = 9000 },
		"a sum past the end": func(p *frame.Packet) { p.Offload.CsumStart = 8983 },
	} {
		p := full(ip4(9000, 9000))
		p.Offload = tso
		change(&p)
		q := offering(t)
		if n, err := q.write([]frame.Packet{p}); n != 0 || !errors.Is(err, ErrPacket) || len(q.wrote) != 0 {
			t.Errorf("%s: got %d, %v; want ErrPacket", name, n, err)
		}
	}
}

// TestBadTimes: the kernel takes nothing for long, and goes on. Nothing is dropped,
// nothing overtakes, nothing is said; each refusal waits for the poller.
func TestBadTimes(t *testing.T) {
	covers.IDs(t, "H-39")
	var steps []step
	for range 1000 {
		steps = append(steps, step{err: unix.EAGAIN})
	}
	var log bytes.Buffer
	d := &Device{mtu: 1500, offers: allOffers, log: slog.New(slog.NewTextHandler(&log, nil))}
	q := newScriptedDevice(t, d, true, append(steps, step{}, step{err: unix.EAGAIN}, step{err: unix.EINTR}, step{})...)
	if n, err := q.write([]frame.Packet{full(ip4(40, 40)), full(ip4(41, 41))}); n != 2 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if len(q.wrote) != 2 || len(q.wrote[0]) != vnet.Size+40 || q.waits != 1000 || log.Len() > 0 || d.Stats() != (Stats{}) {
		t.Errorf("%d written, waited %d times, logged %q, %+v", len(q.wrote), q.waits, log.String(), d.Stats())
	}
	// Closed while it waits: the poller's deadline ends it.
	q = newScriptedDevice(t, &Device{mtu: 1500}, false, step{err: unix.EAGAIN}, step{err: unix.EAGAIN})
	q.queue.writev = func(int, [][]byte) (int, error) { q.closed.Store(true); return -1, unix.EAGAIN }
	if n, err := q.write([]frame.Packet{full(ip4(40, 40))}); n != 0 || !errors.Is(err, ErrClosed) {
		t.Errorf("closed while it waits: %d, %v", n, err)
	}
}

// TestBadTimesAreSaidOnce, with the reason, for each reason.
func TestBadTimesAreSaidOnce(t *testing.T) {
	covers.IDs(t, "H-39")
	var log bytes.Buffer
	d := &Device{name: "t0", mtu: 1500, log: slog.New(slog.NewTextHandler(&log, nil))}
	var steps []step
	for range 3 {
		steps = append(steps, step{err: unix.EIO}, step{err: unix.ENOBUFS}, step{err: unix.EINVAL})
	}
	q := newScriptedDevice(t, d, false, steps...)
	var batch []frame.Packet
	for range steps {
		batch = append(batch, full(ip4(20, 20)))
	}
	if n, err := q.write(batch); n != len(batch) || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	for _, reason := range []string{"the interface is down", "the kernel has no memory", "the kernel finds a packet malformed"} {
		if n := strings.Count(log.String(), reason); n != 1 {
			t.Errorf("%q is said %d times:\n%s", reason, n, log.String())
		}
	}
	if s := d.Stats(); s.WriteLinkDown != 3 || s.WriteNoMemory != 3 || s.WriteRejected != 3 {
		t.Errorf("counted %+v", s)
	}
}
