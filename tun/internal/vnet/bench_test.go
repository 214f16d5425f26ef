package vnet

import (
	"testing"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// BenchmarkHeader writes and reads a virtio_net header, as for each super-segment.
func BenchmarkHeader(b *testing.B) {
	o := frame.Offload{GSO: frame.GSOTCPv4, Checksum: frame.ChecksumPartial, GSOSize: 1448, HdrLen: 52, CsumStart: 20, CsumOffset: 16}
	h := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		Encode(h, o)
		if got, err := Decode(h, 0x45, 40000); err != nil || got != o {
			b.Fatal(got, err)
		}
	}
}
