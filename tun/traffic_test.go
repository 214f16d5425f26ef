package tun

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// limit is how long a test waits for what must come; it only ends a failure.
const limit = 20 * time.Second

// family is one address family's side of the tests.
type family struct {
	name          string
	address, peer string
	prefix        string
	ipHeader      int
	src, dst, ul  int // offsets of addresses and of the transport header
	alen          int
}

var families = []family{
	{"ipv4", "192.0.2.1", "192.0.2.2", "192.0.2.1/24", 20, 12, 16, 20, 4},
	{"ipv6", "2001:db8::1", "2001:db8::2", "2001:db8::1/64", 40, 8, 24, 40, 16},
}

// udp opens a kernel socket towards the other end of the device. The socket is
// bound to the device's address at once: an IPv6 address that is still being
// checked for duplicates would refuse it.
func (f family) udp(t testing.TB) *net.UDPConn {
	t.Helper()
	local := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(f.address), 4000))
	remote := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(f.peer), 5000))
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t testing.TB, conn *net.UDPConn, payload []byte) {
	t.Helper()
	if _, err := conn.Write(payload); err != nil {
		t.Fatal(err)
	}
}

// mine says that a packet is UDP to the peer's port: the kernel also announces
// itself on a new link (RFC 4861, RFC 3810).
func (f family) mine(packet []byte) bool {
	return len(packet) >= f.ul+8 && packet[f.ul+2] == 5000>>8 && packet[f.ul+3] == 5000&0xff &&
		bytes.Equal(packet[f.dst:f.dst+f.alen], netip.MustParseAddr(f.peer).AsSlice())
}

// answer turns a packet round. The checksums stay right, or as unfinished as they
// were: they are sums.
func (f family) answer(p frame.Packet) frame.Packet {
	packet := content(&p)
	out := bytes.Clone(packet)
	copy(out[f.src:], packet[f.dst:f.dst+f.alen])
	copy(out[f.dst:], packet[f.src:f.src+f.alen])
	copy(out[f.ul:], packet[f.ul+2:f.ul+4])
	copy(out[f.ul+2:], packet[f.ul:f.ul+2])
	back := full(out)
	back.Offload = p.Offload
	return back
}

// receive reads until count of our packets have come.
func (f family) receive(t testing.TB, d *Device, count int, batch []frame.Packet) []frame.Packet {
	t.Helper()
	stop := time.AfterFunc(limit, func() { _ = d.Close() })
	defer stop.Stop()
	var got []frame.Packet
	for len(got) < count {
		n, err := d.Read(0, batch)
		if err != nil {
			t.Fatalf("after %d of %d packets: %v", len(got), count, err)
		}
		for i := range batch[:n] {
			if p := content(&batch[i]); f.mine(p) {
				one := full(bytes.Clone(p))
				one.Offload = batch[i].Offload
				got = append(got, one)
			}
		}
	}
	return got
}

func TestPacketsBothWays(t *testing.T) {
	shapes := map[string][]int{"one view": {65535}, "headers apart": {1, 7, 12, 20, 65535}}
	for _, f := range families {
		for shape, sizes := range shapes {
			for _, mtu := range []int{1280, 1500, 9000, 65535} {
				t.Run(fmt.Sprintf("%s/%s/mtu %d", f.name, shape, mtu), func(t *testing.T) {
					ownNetns(t)
					d := mustOpen(t, Config{Name: "t0", MTU: mtu, Addresses: prefixes(f.prefix)})
					conn := f.udp(t)
					payload := bytes.Repeat([]byte("abcdefg"), mtu)[:min(mtu, 65507+28-f.ul)-f.ipHeader-8]
					send(t, conn, payload)
					packet := f.receive(t, d, 1, room(8, sizes...))[0]
					if packet.Size != f.ul+8+len(payload) {
						t.Fatalf("a packet of %d bytes came as %d", f.ul+8+len(payload), packet.Size)
					}
					out := f.answer(packet)
					back := out.Views[0]
					out.Views = [][]byte{back[:5], nil, back[5:f.ul], back[f.ul:]}
					if n, err := d.Write(0, []frame.Packet{out, out}); n != 2 || err != nil {
						t.Fatalf("wrote %d, %v", n, err)
					}
					buf := make([]byte, 65536)
					for range 2 {
						if n, err := conn.Read(buf); err != nil || !bytes.Equal(buf[:n], payload) {
							t.Fatalf("the kernel received %d bytes, %v; want what it sent", n, err)
						}
					}
					if s := d.Stats(); s != (Stats{}) {
						t.Errorf("packets were lost: %+v", s)
					}
				})
			}
		}
	}
}

func TestReadBatch(t *testing.T) {
	ownNetns(t)
	f := families[0]
	d := mustOpen(t, Config{Addresses: prefixes(f.prefix)})
	conn := f.udp(t)
	for i := range 5 {
		send(t, conn, []byte{byte(i)})
	}
	// They wait in the device's queue: one call takes them all, and the kernel's
	// own announcements that may be in between need a few entries more.
	batch := room(32, 65535)
	n, err := d.Read(0, batch)
	if err != nil {
		t.Fatal(err)
	}
	var order []byte
	for i := range batch[:n] {
		if p := content(&batch[i]); f.mine(p) {
			order = append(order, p[f.ul+8])
		}
	}
	if !bytes.Equal(order, []byte{0, 1, 2, 3, 4}) {
		t.Errorf("one Read gave the packets %v, want 0 to 4", order)
	}
}

func TestPacketLargerThanTheBuffers(t *testing.T) {
	ownNetns(t)
	f := families[0]
	d := mustOpen(t, Config{NoOffload: true, Name: "t0", Addresses: prefixes(f.prefix)})
	a := newAdmin(t)
	a.must(a.nl.setMTU(a.index("t0"), 9000)) // behind our back
	conn := f.udp(t)
	send(t, conn, make([]byte, 4000))
	send(t, conn, []byte("small"))
	got := f.receive(t, d, 1, room(1, d.MTU()))[0]
	if string(content(&got)[f.ul+8:]) != "small" {
		t.Errorf("got a packet of %d bytes, want the small one", got.Size)
	}
	if s := d.Stats(); s.ReadOversize != 1 || s.ReadTruncated != 0 {
		t.Errorf("want 1 oversize packet counted: %+v", s)
	}
	// And the other way: a smaller MTU does not disturb either direction.
	a.must(a.nl.setMTU(a.index("t0"), 576))
	send(t, conn, []byte("again"))
	f.receive(t, d, 1, room(1, d.MTU()))
}

func TestWriteWhileTheLinkIsDown(t *testing.T) {
	ownNetns(t)
	f := families[0]
	d := mustOpen(t, Config{Name: "t0", Addresses: prefixes(f.prefix)})
	conn := f.udp(t)
	send(t, conn, []byte("x"))
	back := f.answer(f.receive(t, d, 1, room(1, 65535))[0])

	a := newAdmin(t)
	a.must(a.nl.setDown(a.index("t0")))
	if n, err := d.Write(0, []frame.Packet{back, back, back}); n != 3 || err != nil {
		t.Fatalf("down: wrote %d, %v; want 3 taken and dropped", n, err)
	}
	if s := d.Stats(); s.WriteLinkDown != 3 {
		t.Errorf("down: counted %+v, want 3", s)
	}
	a.must(a.nl.setUp(a.index("t0")))
	if n, err := d.Write(0, []frame.Packet{back}); n != 1 || err != nil {
		t.Fatalf("up again: wrote %d, %v", n, err)
	}
	if n, err := conn.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("up again: the kernel received %d bytes, %v", n, err)
	}
}

func TestMalformedWriteIsNoFailure(t *testing.T) {
	ownNetns(t)
	d := mustOpen(t, Config{})
	bad := full([]byte{0xf0, 1, 2, 3})
	if n, err := d.Write(0, []frame.Packet{bad, bad}); n != 2 || err != nil {
		t.Errorf("wrote %d, %v; want 2 taken and dropped", n, err)
	}
	if s := d.Stats(); s.WriteRejected != 2 {
		t.Errorf("want 2 rejected packets counted: %+v", s)
	}
}

// waiting starts a Read and returns its result once it is over. The Read may
// begin before or after what the test does next: both must end the same.
func waiting(d *Device) <-chan error {
	result := make(chan error, 1)
	go func() {
		batch := room(4, 65535)
		for {
			if _, err := d.Read(0, batch); err != nil {
				result <- err
				return
			}
		}
	}()
	return result
}

// parked waits until the Read of a device is inside the poller.
func parked(d *Device) {
	for d.queues[0].rd.mu.TryLock() {
		d.queues[0].rd.mu.Unlock()
		runtime.Gosched()
	}
}

// TestCloseEndsReadFirst: a Read does not wait for what Close takes back.
func TestCloseEndsReadFirst(t *testing.T) {
	ownNetns(t)
	d := mustOpen(t, Config{})
	result := waiting(d)
	parked(d)
	a := newAdmin(t)
	a.must(a.nl.setDown(a.index(d.Name()))) // no packet ends the wait in its place
	d.journal.record("something slow", func() error {
		select {
		case err := <-result:
			if !errors.Is(err, ErrClosed) {
				t.Errorf("Read ended with %v", err)
			}
		case <-time.After(limit):
			t.Error("Read still waits while Close works")
		}
		return nil
	})
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestDeviceDeletedUnderARead(t *testing.T) {
	ownNetns(t)
	d := mustOpen(t, Config{Name: "t0", Addresses: prefixes("192.0.2.1/24", "2001:db8::1/64"), Routes: prefixes("198.51.100.0/24")})
	result := waiting(d)
	parked(d)
	a := newAdmin(t)
	a.must(a.nl.h.LinkDel(ref(a.index("t0"))))
	select {
	case err := <-result:
		if !errors.Is(err, ErrGone) {
			t.Errorf("Read ended with %v, want ErrGone", err)
		}
	case <-time.After(limit):
		t.Fatal("Read did not notice")
	}
	if n, err := d.Write(0, []frame.Packet{full(ip4(20, 20))}); n != 0 || !errors.Is(err, ErrGone) {
		t.Errorf("Write: %d, %v; want ErrGone", n, err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("Close of a deleted device: %v", err)
	}
}

func TestDeviceRenamedAndMoved(t *testing.T) {
	ownNetns(t)
	f := families[0]
	d := mustOpen(t, Config{Name: "t0", Addresses: prefixes(f.prefix)})
	a := newAdmin(t)
	index := a.index("t0")
	a.must(a.nl.h.LinkSetName(ref(index), "other"))
	send(t, f.udp(t), []byte("renamed"))
	f.receive(t, d, 1, room(1, 65535))

	// To a namespace that ends with this test.
	ns, err := os.Open("/proc/thread-self/ns/net")
	a.must(err)
	defer ns.Close()
	a.must(unix.Unshare(unix.CLONE_NEWNET))
	elsewhere, err := os.Open("/proc/thread-self/ns/net")
	a.must(err)
	defer elsewhere.Close()
	a.must(a.nl.h.LinkSetNsFd(ref(index), int(elsewhere.Fd())))
	there := newAdmin(t)
	if !there.exists("other") {
		t.Fatal("the device did not move")
	}
	there.must(there.nl.setUp(there.index("other")))
	there.addAddr(there.index("other"), f.prefix, 0)
	send(t, f.udp(t), []byte("moved"))
	f.receive(t, d, 1, room(1, 65535))
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if there.exists("other") {
		t.Error("the device is still there after Close")
	}
}

func TestConcurrentUse(t *testing.T) {
	ownNetns(t)
	f := families[0]
	d := mustOpen(t, Config{Addresses: prefixes(f.prefix)})
	send(t, f.udp(t), []byte("x"))
	back := f.answer(f.receive(t, d, 1, room(1, 65535))[0])

	var workers sync.WaitGroup
	first := make(chan struct{})
	var once sync.Once
	for range 4 {
		workers.Go(func() {
			for {
				n, err := d.Write(0, []frame.Packet{back, back})
				if err != nil {
					if err != ErrClosed {
						t.Errorf("Write: %v", err)
					}
					return
				}
				if n != 2 {
					t.Errorf("wrote %d of 2 without an error", n)
				}
				once.Do(func() { close(first) })
			}
		})
		workers.Go(func() {
			if err := <-waiting(d); err != ErrClosed {
				t.Errorf("Read: %v", err)
			}
		})
	}
	<-first
	for range 3 {
		workers.Go(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	workers.Wait()
}

func TestPacketsCostNoAllocation(t *testing.T) {
	ownNetns(t)
	f := families[0]
	d := mustOpen(t, Config{Addresses: prefixes(f.prefix)})
	conn := f.udp(t)
	send(t, conn, []byte("x"))
	out := []frame.Packet{f.answer(f.receive(t, d, 1, room(1, 65535))[0])}
	in := room(1, 20, 65535)
	payload := []byte("y")
	buf := make([]byte, 16)
	allocs := testing.AllocsPerRun(100, func() {
		_, _ = conn.Write(payload)
		for {
			if _, err := d.Read(0, in); err != nil {
				t.Fatal(err)
			}
			if in[0].Size == f.ul+8+1 {
				break
			}
		}
		if _, err := d.Write(0, out); err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(buf)
	})
	if allocs != 0 && !raceEnabled {
		t.Errorf("a packet in and a packet out cost %v allocations", allocs)
	}
}
