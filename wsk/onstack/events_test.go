package onstack_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestEvents has a listening socket whose connections are served by callbacks alone,
// and one callback in between that takes nothing.
func TestEvents(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	const size = 300_000
	var mu sync.Mutex
	var got bytes.Buffer
	refused := false
	socket := make(chan *wsk.ConnectionSocket, 1)
	ended := make(chan uint32, 1)
	var own *wsk.ConnectionSocket
	table := &wsk.ClientConnectionDispatch{
		ReceiveEvent: func(_ any, _ uint32, ind *wsk.DataIndication, _ uint64, _ *uint64) ntstatus.Status {
			mu.Lock()
			defer mu.Unlock()
			if !refused && got.Len() > size/3 {
				refused = true
				// One of no length starts it again.
				own.Receive(&wsk.Buf{}, 0, irp.New(func(*irp.IRP, any) {}, nil))
				return ntstatus.DataNotAccepted
			}
			for d := ind; d != nil; d = d.Next {
				got.Write(d.Buffer.MDL.Data)
			}
			return ntstatus.Success
		},
		DisconnectEvent: func(_ any, flags uint32) ntstatus.Status {
			ended <- flags
			return ntstatus.Success
		},
	}
	l := w.do(func(i *irp.IRP) ntstatus.Status {
		return w.npi.Dispatch.Socket(w.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil,
			&wsk.ClientListenDispatch{AcceptEvent: func(_ any, _ uint32, _, _ *wsk.SockAddr, s *wsk.ConnectionSocket, _ *any, dispatch **wsk.ClientConnectionDispatch) ntstatus.Status {
				*dispatch, own = table, s
				socket <- s
				return ntstatus.Success
			}}, i)
	}).Object.(*wsk.ListenSocket)
	local := wsk.SockAddrFrom(netip.AddrPortFrom(client4, 7))
	w.do(func(i *irp.IRP) ntstatus.Status { return l.Bind(&local, 0, i) })
	in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventAccept | wsk.EventReceive | wsk.EventDisconnect}
	if st := l.ControlSocket(wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET, in.Bytes(), nil, nil, nil); st != ntstatus.Success {
		t.Fatal(st)
	}
	ep, err := w.server.NewEndpoint("tcp4")
	if err != nil {
		t.Fatal(err)
	}
	far := watch(ep)
	if err := far.Connect(local.AddrPort(), stack.ConnectOptions{}); err != nil {
		t.Fatal(err)
	}
	if !far.until(func() bool { done, _ := far.Connected(); return done }) {
		t.Fatal("does not connect")
	}
	sent := bytes.Repeat([]byte("0123456789"), size/10)
	for rest := sent; len(rest) > 0; {
		var n int
		if !far.until(func() bool { n, err = far.Write([][]byte{rest}); return !errors.Is(err, syscall.EAGAIN) }) || err != nil {
			t.Fatal("does not take it", err)
		}
		rest = rest[n:]
	}
	if err := far.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	select {
	case flags := <-ended:
		if flags != 0 {
			t.Errorf("flags %#x", flags)
		}
	case <-time.After(guard):
		t.Fatal("the end does not come")
	}
	mu.Lock()
	if !refused || !bytes.Equal(got.Bytes(), sent) {
		t.Errorf("got %d bytes of %d, refused: %v", got.Len(), len(sent), refused)
	}
	mu.Unlock()
	s := <-socket
	out := make([]byte, 8)
	w.do(func(i *irp.IRP) ntstatus.Status {
		return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, 0, nil, out, nil, i)
	})
	for _, code := range []uint32{wsk.SO_SNDBUF, wsk.SO_RCVBUF} {
		size := make([]byte, 4)
		w.do(func(i *irp.IRP) ntstatus.Status {
			return s.ControlSocket(wsk.GetOption, code, wsk.SOL_SOCKET, nil, size, nil, i)
		})
		n := binary.LittleEndian.Uint32(size)
		if n == 0 || code == wsk.SO_SNDBUF && uint64(n) != binary.LittleEndian.Uint64(out) {
			t.Errorf("option %#x is %d, the ideal backlog %d", code, n, binary.LittleEndian.Uint64(out))
		}
	}
	w.do(s.CloseSocket)
	w.do(l.CloseSocket)
	far.Abort()
	if far.SendBufferSize() != 0 || far.ReceiveBufferSize() != 0 {
		t.Error("a closed endpoint has buffers")
	}
}
