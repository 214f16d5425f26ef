package onstack_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// controller is what every socket has.
type controller interface {
	ControlSocket(wsk.ControlType, uint32, uint32, []byte, []byte, *uint64, *irp.IRP) ntstatus.Status
	CloseSocket(*irp.IRP) ntstatus.Status
}

func (w *world) set(s controller, level, code, value uint32) {
	w.t.Helper()
	w.do(func(i *irp.IRP) ntstatus.Status {
		return s.ControlSocket(wsk.SetOption, code, level, binary.LittleEndian.AppendUint32(nil, value), nil, nil, i)
	})
}

// make makes a socket of any kind.
func (w *world) make(family, socketType uint16, protocol, flag uint32, table wsk.EventTable) controller {
	w.t.Helper()
	return w.do(func(i *irp.IRP) ntstatus.Status {
		return w.npi.Dispatch.Socket(w.npi.Client, family, socketType, protocol, flag, nil, table, i)
	}).Object.(controller)
}

// dial connects an endpoint of the other stack.
func (w *world) dial(to netip.AddrPort, data []byte, mode fastopen.Mode) *waiter {
	w.t.Helper()
	ep, err := w.server.NewEndpoint("tcp4")
	if err != nil {
		w.t.Fatal(err)
	}
	far := watch(ep)
	if err := far.Connect(to, stack.ConnectOptions{Data: data, FastOpen: mode}); err != nil {
		w.t.Fatal(err)
	}
	return far
}

// over waits until a connect is over and returns how it ended.
func (w *waiter) over(t *testing.T) (err error) {
	t.Helper()
	if !w.until(func() bool {
		var done bool
		done, err = w.Connected()
		return done || err != nil
	}) {
		t.Fatal("the connect does not end")
	}
	return err
}

// TestConditionalAccept has connection requests that wait for the client: nothing of
// the handshake is seen before it decides.
func TestConditionalAccept(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	asked := make(chan wsk.InspectID, 8)
	table := &wsk.ClientListenDispatch{
		InspectEvent: func(_ any, _, _ *wsk.SockAddr, id *wsk.InspectID) wsk.InspectAction {
			asked <- *id
			return wsk.InspectPend
		},
	}
	l := w.make(wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, table).(*wsk.ListenSocket)
	w.set(l, wsk.SOL_SOCKET, wsk.SO_CONDITIONAL_ACCEPT, 1)
	w.set(l, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1)
	local := wsk.SockAddrFrom(netip.AddrPortFrom(client4, 7))
	w.do(func(i *irp.IRP) ntstatus.Status { return l.Bind(&local, 0, i) })
	complete := func(id wsk.InspectID, action wsk.InspectAction) {
		t.Helper()
		w.do(func(i *irp.IRP) ntstatus.Status { return l.InspectComplete(&id, action, i) })
	}

	refused := w.dial(local.AddrPort(), nil, fastopen.ModeOff)
	complete(<-asked, wsk.InspectReject)
	if err := refused.over(t); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("rejected: %v", err)
	}
	_ = refused.Close()

	accept := newCall(t)
	if st := l.Accept(0, nil, nil, nil, nil, accept.irp); st != ntstatus.Pending {
		t.Fatal(st)
	}
	far := w.dial(local.AddrPort(), nil, fastopen.ModeOff)
	id := <-asked
	if st := far.State(); st != stack.StateSynSent {
		t.Errorf("before InspectComplete the peer is in %v", st)
	}
	for _, p := range w.seen.Events() {
		if s, err := seg.Parse(p.Bytes); err == nil && s.Src() == local.AddrPort() && s.Dst() == far.LocalAddr() {
			t.Errorf("before InspectComplete something was answered: %v", s.Flags())
		}
	}
	complete(id, wsk.InspectAccept)
	s := accept.ends(ntstatus.Success).Object.(*wsk.ConnectionSocket)
	if err := far.over(t); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 16)
	if st := s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, out, nil, nil); st != ntstatus.Success {
		t.Error(st)
	}
	if got, _ := wsk.ParseInspectID(out); got != id {
		t.Errorf("the socket comes from %+v, want %+v", got, id)
	}
	w.do(s.CloseSocket)
	far.Abort()
	w.do(l.CloseSocket)
}

// TestListenFastOpen sets TCP_FASTOPEN on a listening socket, before and after Bind:
// the second connection brings its data in the SYN.
func TestListenFastOpen(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := newWorld(t, fastopen.ModeOn)
		l := w.make(wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil).(*wsk.ListenSocket)
		local := wsk.SockAddrFrom(netip.AddrPortFrom(client4, 7))
		bind := func() { w.do(func(i *irp.IRP) ntstatus.Status { return l.Bind(&local, 0, i) }) }
		if late {
			bind()
		}
		w.set(l, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1)
		if !late {
			bind()
		}
		for k, inSYN := range []int{0, 5, 0} {
			if k == 2 {
				w.set(l, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 0)
			}
			accept := newCall(t)
			l.Accept(0, nil, nil, nil, nil, accept.irp)
			far := w.dial(local.AddrPort(), []byte("hello"), fastopen.ModeOn)
			s := accept.ends(ntstatus.Success).Object.(*wsk.ConnectionSocket)
			buf := make([]byte, 5)
			w.do(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(buf), wsk.FlagWaitAll, i) })
			if err := far.over(t); err != nil || string(buf) != "hello" {
				t.Errorf("%q, %v", buf, err)
			}
			if got := far.FastOpenInfo().BytesAccepted; got != inSYN {
				t.Errorf("%d bytes accepted in the SYN, want %d", got, inSYN)
			}
			w.do(s.CloseSocket)
			far.Abort()
		}
		w.do(l.CloseSocket)
	}
}

// TestListenFastOpenOff: a stack whose Fast Open is off is not overruled.
func TestListenFastOpenOff(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	l := w.make(wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil).(*wsk.ListenSocket)
	w.set(l, wsk.IPPROTO_TCP, wsk.TCP_FASTOPEN, 1)
	local := wsk.SockAddrFrom(netip.AddrPortFrom(client4, 7))
	w.do(func(i *irp.IRP) ntstatus.Status { return l.Bind(&local, 0, i) })
	if _, err := w.client.FastOpen().Listen(local.AddrPort(), fastopen.ListenConfig{}); err != nil {
		t.Errorf("there is a listener: %v", err)
	}
	w.do(l.CloseSocket)
}

// TestSilentMode makes a connection silent: its peer gets nothing any more, not even a
// reset by the close.
func TestSilentMode(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	l := w.make(wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil).(*wsk.ListenSocket)
	local := wsk.SockAddrFrom(netip.AddrPortFrom(client4, 7))
	w.do(func(i *irp.IRP) ntstatus.Status { return l.Bind(&local, 0, i) })
	accept := newCall(t)
	l.Accept(0, nil, nil, nil, nil, accept.irp)
	far := w.dial(local.AddrPort(), nil, fastopen.ModeOff)
	s := accept.ends(ntstatus.Success).Object.(*wsk.ConnectionSocket)
	if err := far.over(t); err != nil {
		t.Fatal(err)
	}
	w.do(func(i *irp.IRP) ntstatus.Status {
		return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_TCP_SILENT_MODE, 0, nil, nil, nil, i)
	})
	before := len(w.seen.Events())
	if _, err := far.Write([][]byte{[]byte("hello")}); err != nil {
		t.Fatal(err)
	}
	// A connection behind it has been through the same stack and link.
	accept = newCall(t)
	l.Accept(0, nil, nil, nil, nil, accept.irp)
	other := w.dial(local.AddrPort(), nil, fastopen.ModeOff)
	t2 := accept.ends(ntstatus.Success).Object.(*wsk.ConnectionSocket)
	w.do(s.CloseSocket)
	w.do(t2.CloseSocket)
	for _, p := range w.seen.Events()[before:] {
		if q, err := seg.Parse(p.Bytes); err == nil && q.Dst() == far.LocalAddr() {
			t.Errorf("the silent connection sent %v", q.Flags())
		}
	}
	if n := far.Unacknowledged(); n != 5 {
		t.Errorf("%d bytes are unacknowledged, want 5", n)
	}
	far.Abort()
	other.Abort()
	w.do(l.CloseSocket)
}

// TestSharing binds what Windows allows to be shared, over netstack, and refuses the
// rest; and a socket that is none of wsk's keeps its port.
func TestSharing(t *testing.T) {
	kinds := []struct {
		name   string
		option uint32
		wild   bool
	}{
		{"default W", 0, true}, {"default S", 0, false},
		{"REUSE W", wsk.SO_REUSEADDR, true}, {"REUSE S", wsk.SO_REUSEADDR, false},
		{"EXCL W", wsk.SO_EXCLUSIVEADDRUSE, true}, {"EXCL S", wsk.SO_EXCLUSIVEADDRUSE, false},
	}
	allowed := []string{"010101", "000000", "011101", "001100", "000000", "000000"}
	w := newWorld(t, fastopen.ModeOff)
	port := uint16(1000)
	for second, b := range kinds {
		for first, a := range kinds {
			for _, udp := range []bool{false, true} {
				port++
				bind := func(option uint32, wild bool) (controller, ntstatus.Status) {
					var s controller
					if udp {
						s = w.make(wsk.AF_INET, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil)
					} else {
						s = w.make(wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagListenSocket, nil)
					}
					if option != 0 {
						w.set(s, wsk.SOL_SOCKET, option, 1)
					}
					local := wsk.SockAddr{Family: wsk.AF_INET, Port: port}
					if !wild {
						local = wsk.SockAddrFrom(netip.AddrPortFrom(client4, port))
					}
					c := newCall(t)
					return s, s.(interface {
						Bind(*wsk.SockAddr, uint32, *irp.IRP) ntstatus.Status
					}).Bind(&local, 0, c.irp)
				}
				one, status := bind(a.option, a.wild)
				if status != ntstatus.Pending {
					t.Fatalf("%s alone: %v", a.name, status)
				}
				two, status := bind(b.option, b.wild)
				if want := allowed[second][first] == '1'; (status == ntstatus.Pending) != want {
					t.Errorf("%s after %s, UDP %v: %v", b.name, a.name, udp, status)
				}
				w.do(one.CloseSocket)
				w.do(two.CloseSocket)
			}
		}
	}
	foreign, err := w.client.NewEndpoint("tcp4")
	if err != nil {
		t.Fatal(err)
	}
	if err := foreign.Bind(netip.AddrPortFrom(client4, 7)); err != nil {
		t.Fatal(err)
	}
	s := w.make(wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, nil).(*wsk.ConnectionSocket)
	w.set(s, wsk.SOL_SOCKET, wsk.SO_REUSEADDR, 1)
	local := wsk.SockAddr{Family: wsk.AF_INET, Port: 7}
	c := newCall(t)
	if st := s.Bind(&local, 0, c.irp); st != ntstatus.AddressAlreadyExists {
		t.Errorf("the port of another: %v", st)
	}
	w.do(s.CloseSocket)
	foreign.Abort()
}

// TestRaw sends an echo request through a raw socket and gets the answer, with the
// IPv4 header in front, or none for IPv6.
func TestRaw(t *testing.T) {
	for _, tt := range []struct {
		family    uint16
		protocol  uint32
		near, far netip.Addr
		request   []byte
		header    int
		answer    byte
	}{
		// Type, code, checksum, identifier, sequence number.
		{wsk.AF_INET, wsk.IPPROTO_ICMP, client4, server4, []byte{8, 0, 0xf7, 0xf5, 0, 0, 0, 10}, 20, 0},
		{wsk.AF_INET6, wsk.IPPROTO_ICMPV6, client6, server6, []byte{128, 0, 0, 0, 0, 0, 0, 10}, 0, 129},
	} {
		t.Run(fmt.Sprint(tt.family), func(t *testing.T) {
			w := newWorld(t, fastopen.ModeOff)
			s := w.make(tt.family, wsk.SOCK_RAW, tt.protocol, wsk.FlagDatagramSocket, nil).(*wsk.DatagramSocket)
			local := wsk.SockAddrFrom(netip.AddrPortFrom(tt.near, 0))
			w.do(func(i *irp.IRP) ntstatus.Status { return s.Bind(&local, 0, i) })
			var got wsk.SockAddr
			w.do(func(i *irp.IRP) ntstatus.Status { return s.GetLocalAddress(&got, i) })
			if got != local {
				t.Errorf("bound to %v, want %v", got, local)
			}
			to := wsk.SockAddrFrom(netip.AddrPortFrom(tt.far, 0))
			w.do(func(i *irp.IRP) ntstatus.Status {
				return s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_REMOTE_ADDRESS, 0, to.Bytes(), nil, nil, i)
			})
			w.do(func(i *irp.IRP) ntstatus.Status { return s.SendTo(wsk.NewBuf(tt.request), 0, nil, nil, i) })
			buf := make([]byte, 100)
			var from wsk.SockAddr
			for {
				r := w.do(func(i *irp.IRP) ntstatus.Status { return s.ReceiveFrom(wsk.NewBuf(buf), 0, &from, nil, nil, nil, i) })
				p := buf[:r.Information]
				if len(p) == tt.header+8 && p[tt.header] == tt.answer {
					break // others are neighbours' talk
				}
			}
			if from != to {
				t.Errorf("answered by %v, want %v", from, to)
			}
			w.do(s.CloseSocket)
		})
	}
	w := newWorld(t, fastopen.ModeOff)
	for family, protocols := range map[uint16][]uint32{
		wsk.AF_INET: {wsk.IPPROTO_TCP, wsk.IPPROTO_UDP, wsk.IPPROTO_ICMPV6, wsk.IPPROTO_RAW, 253}, wsk.AF_INET6: {wsk.IPPROTO_ICMP},
	} {
		for _, p := range protocols {
			c := newCall(t)
			if st := w.npi.Dispatch.Socket(w.npi.Client, family, wsk.SOCK_RAW, p, wsk.FlagDatagramSocket, nil, nil, c.irp); st != ntstatus.NotSupported {
				t.Errorf("family %d, protocol %d: %v", family, p, st)
			}
		}
	}
}

// TestHeaders sets what the IP headers of both kinds of sockets have, and looks at
// what leaves.
func TestHeaders(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	over := make(chan struct{})
	w.serve("tcp4", netip.AddrPortFrom(server4, 80), func(c *waiter) {
		<-over
		c.Abort()
	})
	s := w.socket(wsk.AF_INET, false)
	u := w.make(wsk.AF_INET, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil).(*wsk.DatagramSocket)
	remote := wsk.SockAddrFrom(netip.AddrPortFrom(server4, 80))
	for _, o := range []controller{s, u} {
		w.set(o, wsk.IPPROTO_IP, wsk.IP_TTL, 9)
		w.set(o, wsk.IPPROTO_IP, wsk.IP_TOS, 0x20)
	}
	w.set(s, wsk.IPPROTO_TCP, wsk.TCP_MAXRT, 10)
	w.set(u, wsk.IPPROTO_UDP, wsk.UDP_NOCHECKSUM, 1)
	group := netip.MustParseAddr("239.1.2.3")
	mreq := append(group.AsSlice(), client4.AsSlice()...)
	membership := func(code uint32) {
		t.Helper()
		w.do(func(i *irp.IRP) ntstatus.Status {
			return u.ControlSocket(wsk.SetOption, code, wsk.IPPROTO_IP, mreq, nil, nil, i)
		})
	}
	membership(wsk.IP_ADD_MEMBERSHIP)
	w.set(u, wsk.IPPROTO_IP, wsk.IP_MULTICAST_TTL, 3)
	local := wsk.SockAddr{Family: wsk.AF_INET, Port: 53}
	w.do(func(i *irp.IRP) ntstatus.Status { return u.Bind(&local, 0, i) })
	w.do(func(i *irp.IRP) ntstatus.Status { return s.Connect(&remote, 0, i) })
	w.do(func(i *irp.IRP) ntstatus.Status { return u.SendTo(wsk.NewBuf([]byte("x")), 0, &remote, nil, i) })
	to := wsk.SockAddrFrom(netip.AddrPortFrom(group, 53))
	w.do(func(i *irp.IRP) ntstatus.Status { return u.SendTo(wsk.NewBuf([]byte("y")), 0, &to, nil, i) })
	var length, flags uint32
	buf := make([]byte, 2)
	w.do(func(i *irp.IRP) ntstatus.Status {
		return u.ReceiveFrom(wsk.NewBuf(buf), 0, nil, &length, nil, &flags, i)
	})
	if buf[0] != 'y' || flags != wsk.MSG_MCAST {
		t.Errorf("looped back: %q, flags %#x", buf, flags)
	}
	membership(wsk.IP_DROP_MEMBERSHIP)
	want := map[byte]byte{6: 9, 17: 9} // protocol: TTL
	for _, p := range w.seen.Events() {
		ip := p.Bytes
		if ip[0]>>4 != 4 || [4]byte(ip[12:]) != client4.As4() {
			continue
		}
		ttl, ok := want[ip[9]]
		if [4]byte(ip[16:]) == group.As4() {
			ttl = 3
		}
		if ip[9] == 17 && (ip[26] != 0 || ip[27] != 0) {
			t.Error("a datagram has a checksum")
		}
		if ok && (ip[8] != ttl || ip[1] != 0x20) {
			t.Errorf("protocol %d has TTL %d and TOS %#x, want %d and 0x20", ip[9], ip[8], ip[1], ttl)
		}
	}
	out, size := make([]byte, 100), uint64(0)
	if st := u.ControlSocket(wsk.Ioctl, wsk.SIO_ADDRESS_LIST_QUERY, 0, nil, out, &size, nil); st != ntstatus.Success || size != 4+16 ||
		out[0] != 1 || netip.AddrFrom4([4]byte(out[8:])) != client4 {
		t.Errorf("%v, % x", st, out[:size])
	}
	w.do(s.CloseSocket)
	w.do(u.CloseSocket)
	close(over)
}
