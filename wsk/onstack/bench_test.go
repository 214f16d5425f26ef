package onstack_test

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/await"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/onstack"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// BenchmarkEcho sends 100 bytes over two stacks in memory and receives them back, through
// WSK at one end and Go's API at the other.
func BenchmarkEcho(b *testing.B) {
	near, far := tuntest.NewPair(tuntest.Config{})
	open := func(dev iolink.Device, address string) *stack.Stack {
		link, err := iolink.New(dev, iolink.Config{})
		if err != nil {
			b.Fatal(err)
		}
		s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s
	}
	client, server := open(near, "10.9.0.1/24"), open(far, "10.9.0.2/24")
	l, err := server.Listen("tcp", ":7")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	provider := wsktest.NewProvider(b)
	if err := provider.Start(onstack.Network(client)); err != nil {
		b.Fatal(err)
	}
	var reg wsk.Registration
	var npi wsk.ProviderNPI
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
	if st := reg.CaptureProviderNPI(wsk.NoWait, &npi); st != ntstatus.Success {
		b.Fatal(st)
	}
	defer reg.Deregister()
	defer reg.ReleaseProviderNPI()
	s, err := await.Socket[*wsk.ConnectionSocket](npi, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil).Sync(time.Minute).Get()
	if err != nil {
		b.Fatal(err)
	}
	defer await.CloseSocket(s).Sync(time.Minute)
	await.Bind(s, wsk.SockAddr{Family: wsk.AF_INET}).Sync(time.Minute)
	if r := await.Connect(s, wsk.SockAddrFrom(netip.MustParseAddrPort("10.9.0.2:7"))).Sync(time.Minute); !r.Status.Success() {
		b.Fatal(r.Status)
	}
	data := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := await.Send(s, data, 0).Sync(time.Minute).Get(); err != nil {
			b.Fatal(err)
		}
		for got := 0; got < len(data); {
			part, err := await.Receive(s, len(data)-got, 0).Sync(time.Minute).Get()
			if err != nil {
				b.Fatal(err)
			}
			got += len(part)
		}
	}
}
