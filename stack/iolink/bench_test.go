package iolink_test

import (
	"testing"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
)

func BenchmarkWritePackets(b *testing.B) {
	d := newDevice(1)
	d.write = func(_ int, batch []frame.Packet) (int, error) { return len(batch), nil }
	l, err := iolink.New(d, iolink.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	p := outbound(make([]byte, 1400), 3)
	defer p.DecRef()
	pkts := list(p)
	b.SetBytes(1440)
	b.ReportAllocs()
	for b.Loop() {
		l.WritePackets(pkts)
	}
}
