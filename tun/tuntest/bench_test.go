package tuntest_test

import (
	"testing"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/tuntest"
)

// BenchmarkPair moves a packet of 1,500 bytes from one device to the other.
func BenchmarkPair(b *testing.B) {
	x, y := tuntest.NewPair(tuntest.Config{})
	defer x.Close()
	defer y.Close()
	packet := make([]byte, 1500)
	packet[0], packet[2], packet[3], packet[8] = 0x45, 1500>>8, 1500&0xff, 64
	out := []frame.Packet{{Views: [][]byte{packet}, Size: len(packet)}}
	in := []frame.Packet{{Views: [][]byte{make([]byte, 1500)}}}
	b.SetBytes(1500)
	b.ReportAllocs()
	for b.Loop() {
		if n, err := x.Write(0, out); n != 1 || err != nil {
			b.Fatal(n, err)
		}
		if n, err := y.Read(0, in); n != 1 || err != nil {
			b.Fatal(n, err)
		}
	}
}
