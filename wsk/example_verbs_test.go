package wsk_test

import (
	"fmt"
	"net/netip"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// begin registers a client of a provider whose far ends the example plays: a peer for
// each TCP socket in turn, and one box for datagrams. stop ends it all.
func begin(peer *wsktest.Peer, box *wsktest.Mailbox) (npi wsk.ProviderNPI, stop func()) {
	provider, reg := wsk.NewProvider(), new(wsk.Registration)
	err := provider.Start(wsktest.DatagramNetwork{
		Network:   func(bool) (wsk.Transport, error) { return peer.Transport, nil },
		Datagrams: func(bool) (wsk.Datagram, error) { return box, nil },
	})
	if err != nil {
		panic(err)
	}
	provider.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.MakeVersion(1, 0)}}, reg)
	reg.CaptureProviderNPI(wsk.InfiniteWait, &npi)
	return npi, func() {
		reg.ReleaseProviderNPI()
		reg.Deregister()
		provider.Stop()
	}
}

// finish submits a request and waits for its completion, which a completion routine or
// an event callback must never do.
func finish(submit func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
	done := make(chan struct{})
	i := irp.New(func(*irp.IRP, any) { close(done) }, nil)
	submit(i)
	<-done
	return i.IoStatus()
}

// boundSocket makes a bound connection socket with the given event callbacks.
func boundSocket(npi wsk.ProviderNPI, dispatch *wsk.ClientConnectionDispatch) *wsk.ConnectionSocket {
	s := finish(func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil, dispatch, i)
	}).Object.(*wsk.ConnectionSocket)
	finish(func(i *irp.IRP) ntstatus.Status { return s.Bind(&wsk.SockAddr{Family: wsk.AF_INET}, 0, i) })
	return s
}

// connectedSocket makes a connected one.
func connectedSocket(npi wsk.ProviderNPI, peer *wsktest.Peer, dispatch *wsk.ClientConnectionDispatch) *wsk.ConnectionSocket {
	s := boundSocket(npi, dispatch)
	finish(func(i *irp.IRP) ntstatus.Status {
		status := s.Connect(&exampleServer, 0, i)
		peer.Accept()
		return status
	})
	return s
}

var exampleServer = wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:80"))

// A connect is one IRP with a completion routine, which is called on a goroutine of the
// socket's: it may free or reuse the IRP and start the next request.
func ExampleConnectionSocket_Connect() {
	peer := wsktest.NewPeer()
	npi, stop := begin(peer, nil)
	defer stop()
	s := boundSocket(npi, nil)

	done := make(chan struct{})
	i := irp.New(func(i *irp.IRP, context any) {
		result := i.IoStatus()
		fmt.Println(context, result.Status, "pended:", i.PendingReturned())
		i.Free()
		close(done)
	}, "connect:")
	fmt.Println("returned", s.Connect(&exampleServer, 0, i))
	peer.Accept() // the far end's part
	<-done

	finish(s.CloseSocket)
	// Output:
	// returned STATUS_PENDING
	// connect: STATUS_SUCCESS pended: true
}

// A limit for a connect is to cancel its IRP and to wait until it has completed: it may
// have succeeded all the same. The socket is bound as before, and may connect again.
func ExampleConnectionSocket_Connect_cancel() {
	peer := wsktest.NewPeer()
	npi, stop := begin(peer, nil)
	defer stop()
	s := boundSocket(npi, nil)

	done := make(chan struct{})
	i := irp.New(func(*irp.IRP, any) { close(done) }, nil)
	s.Connect(&exampleServer, 0, i)
	i.Cancel() // the far end does not answer
	<-done
	fmt.Println(i.IoStatus().Status)

	finish(s.CloseSocket)
	// Output:
	// STATUS_CANCELLED
}

// With TCP_FASTOPEN set before, the buffer leaves in the SYN if the stack has a cookie
// for the server, else right after the handshake: the same calls, the same result.
func ExampleConnectionSocket_ConnectEx() {
	peer := wsktest.NewPeer()
	npi, stop := begin(peer, nil)
	defer stop()
	s := boundSocket(npi, nil)

	on := []byte{1, 0, 0, 0}
	finish(func(i *irp.IRP) ntstatus.Status {
		return s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP, on, nil, nil, i)
	})
	request := []byte("GET / HTTP/1.0\r\n\r\n")
	result := finish(func(i *irp.IRP) ntstatus.Status {
		status := s.ConnectEx(&exampleServer, wsk.NewBuf(request), 0, i)
		peer.Accept()
		peer.AckAll()
		return status
	})
	fmt.Println(result.Status, result.Information, "Fast Open:", peer.Seen().Options.FastOpen)

	finish(s.CloseSocket)
	// Output:
	// STATUS_SUCCESS 18 Fast Open: true
}

// Accepts are served in the order of their calls. The new socket is in the status
// block.
func ExampleListenSocket_Accept() {
	peer := wsktest.NewPeer()
	npi, stop := begin(peer, nil)
	defer stop()
	l := finish(func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil, nil, i)
	}).Object.(*wsk.ListenSocket)
	finish(func(i *irp.IRP) ntstatus.Status { return l.Bind(&exampleServer, 0, i) }) // listens from now on

	var remote wsk.SockAddr
	accepted := finish(func(i *irp.IRP) ntstatus.Status {
		status := l.Accept(0, "my context", nil, nil, &remote, i)
		peer.Arrive(netip.MustParseAddrPort("198.51.100.7:1234"))
		return status
	})
	fmt.Println(accepted.Status, "from", remote)

	finish(accepted.Object.(*wsk.ConnectionSocket).CloseSocket)
	finish(l.CloseSocket)
	// Output:
	// STATUS_SUCCESS from 198.51.100.7:1234
}

// Instead of Accept, a callback is told of each connection. It gives the new socket its
// context and its table.
func ExampleAcceptEvent() {
	peer := wsktest.NewPeer()
	npi, stop := begin(peer, nil)
	defer stop()
	sockets := make(chan *wsk.ConnectionSocket, 1)
	table := &wsk.ClientListenDispatch{AcceptEvent: func(_ any, _ uint32, _, remote *wsk.SockAddr, s *wsk.ConnectionSocket,
		context *any, dispatch **wsk.ClientConnectionDispatch) ntstatus.Status {
		if s == nil { // the listening socket is dead, and to be closed
			return ntstatus.Success
		}
		fmt.Println("from", remote)
		*context, *dispatch = "my context", &wsk.ClientConnectionDispatch{}
		sockets <- s
		return ntstatus.Success
	}}
	l := finish(func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil, table, i)
	}).Object.(*wsk.ListenSocket)
	finish(func(i *irp.IRP) ntstatus.Status { return l.Bind(&exampleServer, 0, i) })

	enable := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventAccept}.Bytes()
	fmt.Println(l.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, enable, nil, nil, nil))
	peer.Arrive(netip.MustParseAddrPort("198.51.100.7:1234"))

	finish((<-sockets).CloseSocket)
	finish(l.CloseSocket)
	// Output:
	// STATUS_SUCCESS
	// from 198.51.100.7:1234
}

// A receive callback may keep the data without copying it, and gives it back with
// Release, from wherever it likes, before the socket is closed.
func ExampleConnectionSocket_Release() {
	peer := wsktest.NewPeer()
	npi, stop := begin(peer, nil)
	defer stop()
	retained := make(chan *wsk.DataIndication, 1)
	s := connectedSocket(npi, peer, &wsk.ClientConnectionDispatch{
		ReceiveEvent: func(_ any, _ uint32, list *wsk.DataIndication, _ uint64, _ *uint64) ntstatus.Status {
			if list == nil { // the socket is dead, and to be closed
				return ntstatus.Success
			}
			retained <- list
			return ntstatus.Pending
		},
	})
	enable := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventReceive}.Bytes()
	s.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, enable, nil, nil, nil)
	peer.Deliver([]byte("hello"))

	list := <-retained
	for d := list; d != nil; d = d.Next {
		for m := d.Buffer.MDL; m != nil; m = m.Next {
			fmt.Printf("%s\n", m.Data)
		}
	}
	fmt.Println(s.Release(list))

	finish(s.CloseSocket)
	// Output:
	// hello
	// STATUS_SUCCESS
}

// A send completes when the peer has acknowledged all bytes; their memory is the
// provider's until then. Several pieces make one send.
func ExampleConnectionSocket_Send() {
	peer := wsktest.NewPeer()
	peer.Transport.UnacknowledgedFunc = func() int { return 0 } // this far end acknowledges at once
	npi, stop := begin(peer, nil)
	defer stop()
	s := connectedSocket(npi, peer, nil)

	sent := finish(func(i *irp.IRP) ntstatus.Status {
		return s.Send(wsk.NewBuf([]byte("head"), []byte("body")), wsk.FlagNoDelay, i)
	})
	fmt.Println(sent.Status, sent.Information)

	finish(s.CloseSocket)
	// Output:
	// STATUS_SUCCESS 8
}

// A receive completes with what there is; with FlagWaitAll, when the buffer is full.
// None with STATUS_SUCCESS is the peer's end.
func ExampleConnectionSocket_Receive() {
	peer := wsktest.NewPeer()
	npi, stop := begin(peer, nil)
	defer stop()
	s := connectedSocket(npi, peer, nil)
	peer.Deliver([]byte("hello"))
	peer.FIN()

	buf := make([]byte, 100)
	for {
		result := finish(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(buf), 0, i) })
		fmt.Printf("%v %q\n", result.Status, buf[:result.Information])
		if !result.Status.Success() || result.Information == 0 {
			break
		}
	}

	finish(s.CloseSocket)
	// Output:
	// STATUS_SUCCESS "hello"
	// STATUS_SUCCESS ""
}

// A graceful end: the last bytes, a FIN, what the peer still sends, its FIN. A close
// after that sends no RST.
func ExampleConnectionSocket_Disconnect() {
	peer := wsktest.NewPeer()
	peer.Transport.UnacknowledgedFunc = func() int { return 0 }  // this far end acknowledges at once,
	peer.Transport.WriteClosedFunc = func() bool { return true } // the FIN as well
	npi, stop := begin(peer, nil)
	defer stop()
	s := connectedSocket(npi, peer, nil)

	result := finish(func(i *irp.IRP) ntstatus.Status { return s.Disconnect(wsk.NewBuf([]byte("bye")), 0, i) })
	fmt.Println(result.Status, result.Information)
	peer.FIN()
	end := finish(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, i) })
	fmt.Println(end.Status, end.Information)

	finish(s.CloseSocket)
	fmt.Println("reset:", peer.Seen().Aborted)
	// Output:
	// STATUS_SUCCESS 3
	// STATUS_SUCCESS 0
	// reset: false
}

// A datagram socket sends to an address of its own for each datagram, and learns the
// sender of each that it receives.
func ExampleDatagramSocket_SendTo() {
	box := &wsktest.Mailbox{}
	npi, stop := begin(nil, box)
	defer stop()
	s := finish(func(i *irp.IRP) ntstatus.Status {
		return npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil, nil, i)
	}).Object.(*wsk.DatagramSocket)
	finish(func(i *irp.IRP) ntstatus.Status { return s.Bind(&wsk.SockAddr{Family: wsk.AF_INET}, 0, i) })

	server := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:53"))
	sent := finish(func(i *irp.IRP) ntstatus.Status { return s.SendTo(wsk.NewBuf([]byte("question")), 0, &server, nil, i) })
	fmt.Println(sent.Status, sent.Information)

	box.Deliver(server.AddrPort(), netip.MustParseAddr("192.0.2.7"), "answer") // the far end's part
	buf, from := make([]byte, 512), wsk.SockAddr{}
	received := finish(func(i *irp.IRP) ntstatus.Status {
		return s.ReceiveFrom(wsk.NewBuf(buf), 0, &from, nil, nil, nil, i)
	})
	fmt.Printf("%v %q from %v\n", received.Status, buf[:received.Information], from)

	finish(s.CloseSocket)
	// Output:
	// STATUS_SUCCESS 8
	// STATUS_SUCCESS "answer" from 192.0.2.1:53
}
