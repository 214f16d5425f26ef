//go:build !nooffload

package tun

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

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
			back := f.answer(p)
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
			back := f.answer(p)
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
// device's property. Whoever opens it next without offloads must get whole packets: sent
// back as they came, they come with a right checksum.
func TestAdoptedDeviceKeepsNoOffload(t *testing.T) {
	for name, flags := range map[string]uint16{"bare": 0, "with headers": unix.IFF_VNET_HDR} {
		t.Run(name, func(t *testing.T) {
			ownNetns(t)
			f := families[0]
			a := newAdmin(t)
			a.prepare("t0", baseFlags|unix.IFF_MULTI_QUEUE|flags)
			d := mustOpen(t, Config{Name: "t0", Addresses: prefixes(f.prefix)})
			if !d.Offloads().Checksum {
				t.Fatalf("a device with room for two queues has no offloads: %+v", d.Offloads())
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = mustOpen(t, Config{Name: "t0", NoOffload: true, Addresses: prefixes(f.prefix)})
			if o := d.Offloads(); o != (frame.Offloads{}) {
				t.Errorf("offloads %+v", o)
			}
			conn := f.udp(t)
			send(t, conn, []byte("whole?"))
			packet := f.receive(t, d, 1, room(4, 65535))[0]
			if n, err := d.Write(0, []frame.Packet{f.answer(packet)}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if s := d.Stats(); s.WriteRejected != 0 {
				t.Errorf("%+v", s)
			}
			buf := make([]byte, 100)
			if n, err := conn.Read(buf); err != nil || string(buf[:n]) != "whole?" {
				t.Errorf("%q, %v", buf[:n], err)
			}
		})
	}
}
