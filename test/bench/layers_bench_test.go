package bench

import (
	"io"
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
)

// BenchmarkLayers is what an exchange of 100 bytes costs through each layer over two
// stacks in memory, the bare endpoint among them.
func BenchmarkLayers(b *testing.B) {
	for _, l := range allLayers() {
		b.Run(l.name, func(b *testing.B) { inMemory(b, l) })
	}
}

// inMemory measures a layer against an echo on a stack at the other end of a pair.
func inMemory(b *testing.B, l layer) {
	near, far := tuntest.NewPair(tuntest.Config{})
	link, err := iolink.New(far, iolink.Config{})
	if err != nil {
		b.Fatal(err)
	}
	server, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{serverNet}})
	if err != nil {
		b.Fatal(err)
	}
	at := netip.AddrPortFrom(serverNet.Addr(), 7)
	ln, err := server.Listen("tcp", at.String())
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := ln.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	client := &Subject{}
	if link, err = iolink.New(near, iolink.Config{}); err != nil {
		b.Fatal(err)
	}
	if client.dial, err = l.on(client, link); err != nil {
		b.Fatal(err)
	}
	c, err := client.dial(at, nil, false)
	if err != nil {
		b.Fatal(err)
	}
	message, buf := make([]byte, messageSize), make([]byte, messageSize)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(message); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < messageSize; {
			n, err := c.Read(buf[got:])
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
	}
	_ = c.Close()
	_ = server.Close()
	<-done
	if err := client.Close(); err != nil {
		b.Error(err)
	}
}
