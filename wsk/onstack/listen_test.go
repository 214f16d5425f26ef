package onstack_test

import (
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestListen has WSK sockets at both ends: one stack listens, in both flows and both
// families, the other connects.
func TestListen(t *testing.T) {
	for name, tt := range map[string]struct {
		family uint16
		flag   uint32
		local  netip.Addr
	}{
		"listening, IPv4": {wsk.AF_INET, wsk.FlagListenSocket, client4},
		"listening, IPv6": {wsk.AF_INET6, wsk.FlagListenSocket, client6},
		"stream, IPv4":    {wsk.AF_INET, wsk.FlagStreamSocket, client4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fastopen.ModeOff)
			type listener interface {
				Bind(*wsk.SockAddr, uint32, *irp.IRP) ntstatus.Status
				Accept(uint32, any, *wsk.ClientConnectionDispatch, *wsk.SockAddr, *wsk.SockAddr, *irp.IRP) ntstatus.Status
				CloseSocket(*irp.IRP) ntstatus.Status
			}
			l := w.do(func(i *irp.IRP) ntstatus.Status {
				return w.npi.Dispatch.Socket(w.npi.Client, tt.family, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, tt.flag, nil, nil, i)
			}).Object.(listener)
			local := wsk.SockAddrFrom(netip.AddrPortFrom(tt.local, 7))
			w.do(func(i *irp.IRP) ntstatus.Status { return l.Bind(&local, 0, i) })
			if s, ok := l.(*wsk.StreamSocket); ok {
				w.do(s.Listen)
			}
			accept := newCall(t)
			var at, from wsk.SockAddr
			if st := l.Accept(0, nil, nil, &at, &from, accept.irp); st != ntstatus.Pending {
				t.Fatal(st)
			}
			name := "tcp4"
			if tt.family == wsk.AF_INET6 {
				name = "tcp6"
			}
			ep, err := w.server.NewEndpoint(name)
			if err != nil {
				t.Fatal(err)
			}
			far := watch(ep)
			if err := far.Connect(local.AddrPort(), stack.ConnectOptions{}); err != nil {
				t.Fatal(err)
			}
			s := accept.ends(ntstatus.Success).Object.(*wsk.ConnectionSocket)
			if !far.until(func() bool { done, _ := far.Connected(); return done }) {
				t.Fatal("does not connect")
			}
			if at != local || from.AddrPort() != far.LocalAddr() {
				t.Errorf("accepted at %v from %v, want %v from %v", at, from, local, far.LocalAddr())
			}
			if _, err := far.Write([][]byte{[]byte("hello")}); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 5)
			w.do(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(buf), wsk.FlagWaitAll, i) })
			w.do(func(i *irp.IRP) ntstatus.Status { return s.Send(wsk.NewBuf(buf), 0, i) })
			got := make([]byte, 5)
			if !far.until(func() bool { return far.Readable() == 5 }) {
				t.Fatal("nothing comes back")
			}
			if n, err := far.Read([][]byte{got}); n != 5 || err != nil || string(got) != "hello" {
				t.Errorf("echoed %q, %v", got[:n], err)
			}
			w.do(s.CloseSocket)
			w.do(l.CloseSocket)
			if !far.until(func() bool { _, err := far.Write(nil); return err != nil }) {
				t.Error("no RST")
			}
			_ = far.Close()
		})
	}
}
