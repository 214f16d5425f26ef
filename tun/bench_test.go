package tun

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// What the kernel sends in one call. A device with offloads has it as one super-segment
// (Linux 6.2), another as so many packets.
const (
	benchDatagrams = 40
	benchPayload   = 1400
)

// BenchmarkRead has the kernel send 40 datagrams, and reads them.
func BenchmarkRead(b *testing.B) {
	onDevices(b, func(b *testing.B, d *Device, conn *net.UDPConn) {
		f, payload, batch := families[0], make([]byte, benchDatagrams*benchPayload), room(2*benchDatagrams, 65535)
		for b.Loop() {
			send(b, conn, payload)
			for left := len(payload); left > 0; {
				n, err := d.Read(0, batch)
				if err != nil {
					b.Fatal(err)
				}
				for _, p := range batch[:n] {
					if f.mine(p.Views[0][:p.Size]) {
						left -= p.Size - f.ul - 8
					}
				}
			}
		}
	})
}

// BenchmarkWrite writes 40 datagrams to a socket, which keeps what it has room for.
func BenchmarkWrite(b *testing.B) {
	onDevices(b, func(b *testing.B, d *Device, conn *net.UDPConn) {
		send(b, conn, make([]byte, benchDatagrams*benchPayload))
		count := benchDatagrams
		if d.Offloads().USO {
			count = 1
		}
		var back []frame.Packet
		for _, p := range families[0].receive(b, d, count, room(benchDatagrams, 65535)) {
			back = append(back, families[0].answer(p))
		}
		for b.Loop() {
			if n, err := d.Write(0, back); n != len(back) || err != nil {
				b.Fatal(n, err)
			}
		}
		if s := d.Stats(); s != (Stats{}) {
			b.Errorf("packets were lost: %+v", s)
		}
	})
}

// onDevices runs a benchmark on a device with offloads and on one without, and a socket
// that sends 40 datagrams in one call.
func onDevices(b *testing.B, run func(b *testing.B, d *Device, conn *net.UDPConn)) {
	for name, noOffload := range map[string]bool{"offloads": false, "plain": true} {
		b.Run(name, func(b *testing.B) {
			ownNetns(b)
			f := families[0]
			d := mustOpen(b, Config{NoOffload: noOffload, Addresses: prefixes(f.prefix)})
			conn := f.udp(b)
			raw, err := conn.SyscallConn()
			if err != nil {
				b.Fatal(err)
			}
			if ctl := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, benchPayload)
			}); ctl != nil || err != nil {
				b.Fatal(ctl, err)
			}
			if err := conn.SetDeadline(time.Time{}); err != nil { // however long it is run
				b.Fatal(err)
			}
			b.SetBytes(benchDatagrams * benchPayload)
			b.ReportAllocs()
			run(b, d, conn)
		})
	}
}
