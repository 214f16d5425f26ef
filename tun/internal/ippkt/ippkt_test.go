package ippkt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ipv4(size, announced int) []byte {
	b := make([]byte, size)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(announced))
	return b
}

func ipv6(size, payload int, next byte) []byte {
	b := make([]byte, size)
	b[0], b[6] = 0x60, next
	binary.BigEndian.PutUint16(b[4:], uint16(payload))
	return b
}

func TestInspect(t *testing.T) {
	cases := []struct {
		name   string
		packet []byte
		want   Verdict
	}{
		{"nothing", nil, Malformed},
		{"one byte", []byte{0x45}, Malformed},
		{"IPv4, whole", ipv4(20, 20), Whole},
		{"IPv4, padded", ipv4(46, 20), Padded},
		{"IPv4, one byte missing", ipv4(99, 100), Truncated},
		{"IPv4, shorter than its header", ipv4(19, 19), Malformed},
		{"IPv6, whole", ipv6(48, 8, 17), Whole},
		{"IPv6, padded", ipv6(60, 8, 17), Padded},
		{"IPv6, one byte missing", ipv6(47, 8, 17), Truncated},
		{"IPv6, shorter than its header", ipv6(39, 0, 17), Malformed},
		{"IPv6, empty", ipv6(40, 0, 59), Whole},
		{"IPv6, jumbo payload", ipv6(48, 0, 0), Whole},
		{"an Ethernet frame", append([]byte{0x02, 0, 0, 0, 0, 1}, ipv4(60, 60)...), Malformed},
		{"version 5", append([]byte{0x55}, make([]byte, 59)...), Malformed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := Inspect([][]byte{c.packet}, len(c.packet)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestInspectLooksAtFilledBytesOnly(t *testing.T) {
	buf := ipv4(1500, 100)
	if got := Inspect([][]byte{buf}, 99); got != Truncated {
		t.Errorf("99 of 100 bytes in a buffer of 1500: got %d, want Truncated", got)
	}
}

// FuzzInspect: the verdict does not depend on how the packet lies in memory, and
// a whole packet has the bytes that its header announces.
func FuzzInspect(f *testing.F) {
	f.Add(ipv4(40, 40), uint8(1))
	f.Add(ipv4(40, 41), uint8(3))
	f.Add(ipv6(48, 8, 17), uint8(5))
	f.Add(ipv6(48, 0, 0), uint8(7))
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, packet []byte, piece uint8) {
		step := int(piece)%9 + 1
		var views [][]byte
		for rest := packet; len(rest) > 0; {
			n := min(step, len(rest))
			views, rest = append(views, rest[:n:n], nil), rest[n:]
		}
		got := Inspect(views, len(packet))
		if one := Inspect([][]byte{packet}, len(packet)); one != got {
			t.Fatalf("in one piece %d, in pieces of %d bytes %d", one, step, got)
		}
		if got > Padded {
			return
		}
		if len(packet) < minIPv4 {
			t.Fatalf("%d bytes passed as a packet", len(packet))
		}
		announced := int(binary.BigEndian.Uint16(packet[2:]))
		if packet[0]>>4 == 4 && (got == Whole) != (announced == len(packet)) || announced > len(packet) && packet[0]>>4 == 4 {
			t.Fatalf("%d bytes of %d announced: verdict %d", len(packet), announced, got)
		}
	})
}

func TestScatter(t *testing.T) {
	views := [][]byte{make([]byte, 1), nil, make([]byte, 3), make([]byte, 10)}
	if n := Scatter(views, []byte("abcdef")); n != 6 {
		t.Fatalf("scattered %d bytes, want 6", n)
	}
	if got := bytes.Join(views, nil)[:6]; string(got) != "abcdef" {
		t.Errorf("got %q", got)
	}
	if n := Scatter(views[:1], []byte("xyz")); n != 1 {
		t.Errorf("scattered %d bytes into one, want 1", n)
	}
}

func TestCheckWrite(t *testing.T) {
	body := ipv4(20, 20)
	good := frame.Packet{Views: [][]byte{body}, Size: 20}
	cases := []struct {
		name   string
		change func(*frame.Packet)
		want   error
	}{
		{"plain", func(*frame.Packet) {}, nil},
		{"sum known to be good", func(p *frame.Packet) { p.Offload.Checksum = frame.ChecksumValid }, nil},
		{"super-segment", func(p *frame.Packet) { p.Offload.GSO = frame.GSOTCPv4 }, ErrOffload},
		{"partial sum", func(p *frame.Packet) { p.Offload.Checksum = frame.ChecksumPartial }, ErrOffload},
		{"unknown checksum state", func(p *frame.Packet) { p.Offload.Checksum = 77 }, ErrOffload},
		{"size too small", func(p *frame.Packet) { p.Size-- }, ErrPacket},
		{"size too large", func(p *frame.Packet) { p.Size++ }, ErrPacket},
		{"empty", func(p *frame.Packet) { p.Views, p.Size = nil, 0 }, ErrPacket},
		{"larger than IP", func(p *frame.Packet) { p.Views, p.Size = [][]byte{make([]byte, 65536)}, 65536 }, ErrPacket},
		{"too many views", func(p *frame.Packet) { p.Views = append(make([][]byte, MaxViews), body) }, ErrPacket},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := good
			c.change(&p)
			if err := CheckWrite(&p, frame.Offloads{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
