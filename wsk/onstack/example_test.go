package onstack_test

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun/tuntest"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/onstack"
)

// stackOn makes a stack on a device.
func stackOn(dev iolink.Device, address string) *stack.Stack {
	link, err := iolink.New(dev, iolink.Config{})
	if err != nil {
		panic(err)
	}
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix(address)}})
	if err != nil {
		panic(err)
	}
	return s
}

// request submits a call with an IRP of its own and waits for its completion routine.
func request(call func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	done := make(chan irp.StatusBlock, 1)
	i := irp.New(func(i *irp.IRP, _ any) { done <- i.IoStatus() }, nil)
	call(i)
	return <-done
}

// WSK on a real stack: a socket connects with WskConnectEx, twice, and the second time
// its buffer is in the SYN. The server is Go's API on another stack.
func ExampleNetwork() {
	a, b := tuntest.NewPair(tuntest.Config{})
	server, client := stackOn(a, "10.0.0.1/24"), stackOn(b, "10.0.0.2/24")
	defer server.Close()
	defer client.Close()
	l, err := (&stack.ListenConfig{Stack: server, FastOpen: &fastopen.ListenConfig{}}).ListenTCP("tcp", netip.MustParseAddrPort("10.0.0.1:80"))
	if err != nil {
		panic(err)
	}
	defer l.Close()

	provider, reg := wsk.NewProvider(), new(wsk.Registration)
	if err := provider.Start(onstack.Network(client)); err != nil {
		panic(err)
	}
	defer provider.Stop() // before the stack is closed
	var npi wsk.ProviderNPI
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.MakeVersion(1, 0)}}, reg)
	reg.CaptureProviderNPI(wsk.InfiniteWait, &npi)
	defer reg.Deregister()
	defer reg.ReleaseProviderNPI()

	remote := wsk.SockAddrFrom(netip.MustParseAddrPort("10.0.0.1:80"))
	for range 2 {
		s := request(func(i *irp.IRP) ntstatus.Status {
			return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, nil, i)
		}).Object.(*wsk.ConnectionSocket)
		on := []byte{1, 0, 0, 0}
		request(func(i *irp.IRP) ntstatus.Status {
			return s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, on, nil, nil, i)
		})
		request(func(i *irp.IRP) ntstatus.Status { return s.Bind(&wsk.SockAddr{Family: wsk.AF_INET}, 0, i) })
		open := request(func(i *irp.IRP) ntstatus.Status {
			return s.ConnectEx(&remote, wsk.NewBuf([]byte("hello")), 0, i)
		})
		c, err := l.AcceptTCP()
		if err != nil {
			panic(err)
		}
		got := make([]byte, 5)
		_, err = io.ReadFull(c, got)
		fmt.Printf("%v, %d bytes; the server read %q, %v, and %d early\n", open.Status, open.Information, got, err, c.FastOpenInfo().EarlyData)
		c.Close()
		request(s.CloseSocket)
	}
	// Output:
	// STATUS_SUCCESS, 5 bytes; the server read "hello", <nil>, and 0 early
	// STATUS_SUCCESS, 5 bytes; the server read "hello", <nil>, and 5 early
}
