package bench

import (
	"io"
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
)

// BenchmarkLayers is what each layer costs over two stacks in memory, the bare
// endpoint's cost among them: 100 bytes there and back, and a write of 64 KiB.
func BenchmarkLayers(b *testing.B) {
	exchange := func(b *testing.B, c conn) {
		message, buf := make([]byte, messageSize), make([]byte, messageSize)
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
	}
	write := func(b *testing.B, c conn) {
		data := make([]byte, 64<<10)
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := c.Write(data); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, l := range allLayers() {
		b.Run("exchange/"+l.name, func(b *testing.B) { inMemory(b, l, func(c *stack.TCPConn) { _, _ = io.Copy(c, c) }, exchange) })
		b.Run("write/"+l.name, func(b *testing.B) { inMemory(b, l, func(c *stack.TCPConn) { _, _ = io.Copy(io.Discard, c) }, write) })
	}
}

// inMemory connects through a layer to a server on a stack at the other end of a pair,
// and gives the connection to run.
func inMemory(b *testing.B, l layer, serve func(*stack.TCPConn), run func(*testing.B, conn)) {
	near, far := tuntest.NewPair(tuntest.Config{MTU: MaxMTU})
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
			serve(c.(*stack.TCPConn))
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
	b.ReportAllocs()
	run(b, c)
	_ = c.Close()
	_ = server.Close()
	<-done
	if err := client.Close(); err != nil {
		b.Error(err)
	}
}
