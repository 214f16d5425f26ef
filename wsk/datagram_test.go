package wsk_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

var here = netip.MustParseAddr("192.0.2.7")

// TestSendTo has each way to say where a datagram goes, and what goes with it.
func TestSendTo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, box := r.post(nil)
		sends := func(to *wsk.SockAddr, control []byte, want wsktest.Sent) {
			t.Helper()
			q := newRequest()
			q.pends(t, s.SendTo(wsk.NewBuf([]byte("da"), []byte("ta")), 0, to, control, q.IRP)).ends(t, ntstatus.Success, 4)
			if got := box.Sent(); !slices.Equal(got, []wsktest.Sent{want}) {
				t.Errorf("sent %v, want %v", got, want)
			}
		}
		fix := func(code uint32, address []byte) {
			t.Helper()
			q := newRequest()
			q.pends(t, s.ControlSocket(wsk.Ioctl, code, wsk.SOL_SOCKET, address, nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		}
		a, b := wsk.SockAddrFrom(remoteA), wsk.SockAddrFrom(remoteB)
		sends(&server4, nil, wsktest.Sent{Data: "data", To: server4.AddrPort()})
		ttl := wsk.AppendControlMessage(nil, wsk.IPPROTO_IP, wsk.IP_TTL, le(3))
		ttl = wsk.AppendControlMessage(ttl, wsk.IPPROTO_IPV6, wsk.IPV6_HOPLIMIT, le(5))
		sends(&server4, ttl, wsktest.Sent{Data: "data", To: server4.AddrPort(), HopLimit: 5})
		fix(wsk.SIO_WSK_SET_SENDTO_ADDRESS, a.Bytes())
		sends(nil, nil, wsktest.Sent{Data: "data", To: remoteA})
		sends(&server4, nil, wsktest.Sent{Data: "data", To: server4.AddrPort()})
		fix(wsk.SIO_WSK_SET_REMOTE_ADDRESS, b.Bytes())
		sends(nil, nil, wsktest.Sent{Data: "data", To: remoteB})
		fix(wsk.SIO_WSK_SET_REMOTE_ADDRESS, nil)
		fix(wsk.SIO_WSK_SET_SENDTO_ADDRESS, nil)

		refuses := func(want ntstatus.Status, buf *wsk.Buf, flags uint32, to *wsk.SockAddr, control []byte) {
			t.Helper()
			q := newRequest()
			q.inline(t, s.SendTo(buf, flags, to, control, q.IRP), want)
		}
		one := wsk.NewBuf([]byte("x"))
		refuses(ntstatus.InvalidParameter, one, 0, nil, nil)
		refuses(ntstatus.InvalidParameter, one, 1, &server4, nil)
		refuses(ntstatus.InvalidParameter, nil, 0, &server4, nil)
		refuses(ntstatus.InvalidParameter, &wsk.Buf{Length: 1}, 0, &server4, nil)
		refuses(ntstatus.InvalidAddressComponent, one, 0, &server6, nil)
		refuses(ntstatus.InvalidAddressComponent, one, 0, &wildcard, nil)
		refuses(ntstatus.InvalidParameter, one, 0, &server4, ttl[:9])
		refuses(ntstatus.InvalidParameter, one, 0, &server4, append(le(99), ttl[4:]...))
		refuses(ntstatus.InvalidParameter, one, 0, &server4, wsk.AppendControlMessage(nil, 0, wsk.IP_TTL, le(256)))
		refuses(ntstatus.InvalidParameter, one, 0, &server4, wsk.AppendControlMessage(nil, 0, wsk.IP_TTL, []byte{1}))
		refuses(ntstatus.NotSupported, one, 0, &server4, wsk.AppendControlMessage(nil, 0, 99, le(1)))
		for _, bad := range [][]byte{a.Bytes()[:15], make([]byte, 28)} {
			q := newRequest()
			q.inline(t, s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_REMOTE_ADDRESS, 0, bad, nil, nil, q.IRP), ntstatus.InvalidParameter)
		}
		q := newRequest()
		q.inline(t, s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_REMOTE_ADDRESS, 0, server6.Bytes(), nil, nil, q.IRP), ntstatus.InvalidAddressComponent)

		for err, want := range map[syscall.Errno]ntstatus.Status{
			syscall.EMSGSIZE: ntstatus.InvalidBufferSize, syscall.EACCES: ntstatus.AccessDenied,
		} {
			box.Refuse(err)
			q := newRequest()
			q.pends(t, s.SendTo(one, 0, &server4, nil, q.IRP)).ends(t, want, 0)
		}
		// What cannot be sent now is sent later, in order.
		box.Refuse(syscall.EAGAIN)
		first, second := newRequest(), newRequest()
		first.pends(t, s.SendTo(one, 0, &server4, nil, first.IRP))
		list := &wsk.BufList{Buffer: *wsk.NewBuf([]byte("yy")), Next: &wsk.BufList{Buffer: *wsk.NewBuf([]byte("zzz"))}}
		second.pends(t, s.SendMessages(list, 0, &a, nil, second.IRP)).open(t)
		box.Refuse(nil)
		first.ends(t, ntstatus.Success, 1)
		second.ends(t, ntstatus.Success, 5)
		if got := fmt.Sprint(box.Sent()); got != "[{x 192.0.2.1:80 0} {yy 198.51.100.1:1001 0} {zzz 198.51.100.1:1001 0}]" {
			t.Errorf("sent %s", got)
		}
		// The control information goes with each; if one is refused, the others have gone.
		both := newRequest()
		both.pends(t, s.SendMessages(list, 0, &a, ttl, both.IRP)).ends(t, ntstatus.Success, 5)
		if got := fmt.Sprint(box.Sent()); got != "[{yy 198.51.100.1:1001 5} {zzz 198.51.100.1:1001 5}]" {
			t.Errorf("sent %s", got)
		}
		box.RefuseAfter(1, syscall.EMSGSIZE)
		both = newRequest()
		both.pends(t, s.SendMessages(list, 0, &a, ttl, both.IRP)).ends(t, ntstatus.InvalidBufferSize, 2)
		if got := fmt.Sprint(box.Sent()); got != "[{yy 198.51.100.1:1001 5}]" {
			t.Errorf("sent %s", got)
		}
		box.Refuse(nil)
		list.Next = list // bites its own tail
		q = newRequest()
		q.inline(t, s.SendMessages(list, 0, &a, nil, q.IRP), ntstatus.InvalidParameter)
		q = newRequest()
		q.inline(t, s.SendMessages(nil, 0, &a, nil, q.IRP), ntstatus.InvalidParameter)
		box.Refuse(syscall.ENODEV) // the interface is gone
		q = newRequest()
		q.pends(t, s.SendTo(one, 0, &server4, nil, q.IRP)).ends(t, ntstatus.FileForcedClosed, 0)
		r.close(s)
	})
	var none *wsk.DatagramSocket
	q := newRequest()
	q.inline(t, none.SendTo(wsk.NewBuf([]byte("x")), 0, &server4, nil, q.IRP), ntstatus.InvalidParameter)
	if got := none.Release(&wsk.DatagramIndication{}); got != ntstatus.InvalidParameter {
		t.Errorf("Release on no socket: %v", got)
	}
}

// TestReceiveFrom has requests and datagrams of all sizes.
func TestReceiveFrom(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, box := r.post(nil)
		for _, code := range []uint32{wsk.IP_PKTINFO, wsk.IP_HOPLIMIT} {
			q := newRequest()
			q.pends(t, s.ControlSocket(wsk.SetOption, code, wsk.IPPROTO_IP, le(1), nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		}
		info := wsk.AppendControlMessage(nil, wsk.IPPROTO_IP, wsk.IP_PKTINFO, []byte{192, 0, 2, 7, 1, 0, 0, 0})
		info = wsk.AppendControlMessage(info, wsk.IPPROTO_IP, wsk.IP_HOPLIMIT, le(64))
		for _, tt := range []struct {
			name    string
			data    string
			to      netip.Addr
			room    int // of the control information; -1: no length
			flags   bool
			status  ntstatus.Status
			n       int
			control int
			want    uint32
		}{
			{"all of it", "data", here, 100, true, ntstatus.Success, 4, len(info), 0},
			{"nothing asked for", "data", here, -1, false, ntstatus.Success, 4, 0, 0},
			{"empty", "", here, 0, false, ntstatus.Success, 0, 0, 0},
			{"cut", "longer", here, 100, true, ntstatus.Success, 4, len(info), wsk.MSG_TRUNC},
			{"cut, and no flags", "longer", here, 100, false, ntstatus.BufferOverflow, 4, len(info), 0},
			{"control cut", "data", here, 20, true, ntstatus.Success, 4, 0, wsk.MSG_CTRUNC},
			{"multicast", "data", netip.MustParseAddr("224.0.0.1"), 0, true, ntstatus.Success, 4, 0, wsk.MSG_CTRUNC | wsk.MSG_MCAST},
			{"broadcast", "data", netip.MustParseAddr("255.255.255.255"), 0, true, ntstatus.Success, 4, 0, wsk.MSG_CTRUNC | wsk.MSG_BCAST},
		} {
			t.Log(tt.name)
			buf, q := make([]byte, 4), newRequest()
			var from wsk.SockAddr
			var length, flags *uint32
			control := make([]byte, max(tt.room, 0))
			if tt.room >= 0 {
				length = new(uint32)
				*length = uint32(tt.room)
			}
			if tt.flags {
				flags = new(uint32)
			}
			q.pends(t, s.ReceiveFrom(wsk.NewBuf(buf[:1], buf[1:]), 0, &from, length, control, flags, q.IRP)).open(t)
			box.Deliver(remoteA, tt.to, tt.data)
			q.ends(t, tt.status, tt.n)
			if got := string(buf[:tt.n]); got != tt.data[:tt.n] || from != wsk.SockAddrFrom(remoteA) {
				t.Errorf("%q from %v", got, from)
			}
			if length != nil && (int(*length) != tt.control || tt.control > 0 && !bytes.Equal(control[:tt.control], info)) {
				t.Errorf("control information % x", control[:*length])
			}
			if flags != nil && *flags != tt.want {
				t.Errorf("flags %#x, want %#x", *flags, tt.want)
			}
		}
		for _, q := range []*request{newRequest()} {
			q.inline(t, s.ReceiveFrom(wsk.NewBuf(make([]byte, 1)), 1, nil, nil, nil, nil, q.IRP), ntstatus.InvalidParameter)
		}
		q := newRequest()
		q.inline(t, s.ReceiveFrom(nil, 0, nil, nil, nil, nil, q.IRP), ntstatus.InvalidParameter)

		// With a fixed peer, others are not heard, however many they are.
		a := wsk.SockAddrFrom(remoteA)
		q = newRequest()
		q.pends(t, s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_REMOTE_ADDRESS, 0, a.Bytes(), nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		q = newRequest()
		buf := make([]byte, 4)
		q.pends(t, s.ReceiveFrom(wsk.NewBuf(buf), 0, nil, nil, nil, nil, q.IRP)).open(t)
		for range 200 {
			box.Deliver(remoteB, here, "no")
		}
		box.Mishap(syscall.ECONNREFUSED)
		q.open(t)
		box.Deliver(remoteA, here, "yes")
		q.ends(t, ntstatus.Success, 3)
		r.close(s)
		if _, _, closed := box.Told(); !closed {
			t.Error("the transport was not closed")
		}
	})
}

// TestDatagramV6 has a dual-stack socket.
func TestDatagramV6(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.datagram(wsk.AF_INET6, nil)
		set := func(level, code, value uint32) {
			t.Helper()
			q := newRequest()
			q.pends(t, s.ControlSocket(wsk.SetOption, code, level, le(value), nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		}
		set(wsk.IPPROTO_IPV6, wsk.IPV6_V6ONLY, 0)
		set(wsk.IPPROTO_IPV6, wsk.IPV6_PKTINFO, 1)
		set(wsk.IPPROTO_IPV6, wsk.IPV6_HOPLIMIT, 1)
		set(wsk.SOL_SOCKET, wsk.SO_BROADCAST, 1)
		set(wsk.SOL_SOCKET, wsk.SO_RCVBUF, 9)
		set(wsk.SOL_SOCKET, wsk.SO_SNDBUF, 9)
		box := r.boxes[0]
		if told, _, _ := box.Told(); strings.Join(told, ", ") != "v6only, v6only, broadcast, receive buffer, send buffer" {
			t.Errorf("told %q", told)
		}
		for _, code := range []uint32{wsk.TCP_NODELAY, wsk.TCP_MAXSEG} {
			q := newRequest()
			q.inline(t, s.ControlSocket(wsk.SetOption, code, wsk.IPPROTO_TCP, le(1), nil, nil, q.IRP), ntstatus.NotSupported)
		}
		q := newRequest()
		q.pends(t, s.Bind(&wildcard6, 0, q.IRP)).ends(t, ntstatus.Success, 0)
		var at wsk.SockAddr
		q = newRequest()
		q.pends(t, s.GetLocalAddress(&at, q.IRP)).ends(t, ntstatus.Success, 0)
		if at.Port != wsktest.EphemeralPort {
			t.Errorf("bound to %v", at)
		}
		var from wsk.SockAddr
		length, control := uint32(99), make([]byte, 99)
		q = newRequest()
		q.pends(t, s.ReceiveFrom(&wsk.Buf{}, 0, &from, &length, control, nil, q.IRP)).open(t)
		box.Deliver(remoteA, netip.MustParseAddr("2001:db8::7"), "")
		q.ends(t, ntstatus.Success, 0)
		if !from.AddrPort().Addr().Is4In6() || from.Family != wsk.AF_INET6 {
			t.Errorf("from %v", from)
		}
		length = uint32(len(control))
		q = newRequest()
		q.pends(t, s.ReceiveFrom(&wsk.Buf{}, 0, &from, &length, control, nil, q.IRP)).open(t)
		box.Deliver(server6.AddrPort(), netip.MustParseAddr("2001:db8::7"), "")
		q.ends(t, ntstatus.Success, 0)
		want := wsk.AppendControlMessage(nil, wsk.IPPROTO_IPV6, wsk.IPV6_PKTINFO, append(netip.MustParseAddr("2001:db8::7").AsSlice(), 1, 0, 0, 0))
		want = wsk.AppendControlMessage(want, wsk.IPPROTO_IPV6, wsk.IPV6_HOPLIMIT, le(64))
		if !bytes.Equal(control[:length], want) {
			t.Errorf("control information % x, want % x", control[:length], want)
		}
		r.close(s)
	})
	bubble(t, func(t *testing.T, r *rig) {
		for _, code := range []uint32{wsk.SO_BROADCAST} { // not on TCP
			s := r.bound()
			q := newRequest()
			q.inline(t, s.ControlSocket(wsk.SetOption, code, wsk.SOL_SOCKET, le(1), nil, nil, q.IRP), ntstatus.NotSupported)
			r.close(s)
		}
	})
}

// TestNoDatagrams has a network that has none.
func TestNoDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := wsktest.NewProvider(t)
		if err := p.Start(network); err != nil {
			t.Fatal(err)
		}
		reg := register(t, p, wsk.Version1_0)
		var npi wsk.ProviderNPI
		reg.CaptureProviderNPI(wsk.NoWait, &npi)
		q := newRequest()
		q.inline(t, npi.Dispatch.Socket(npi.Client, wsk.AF_INET, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil, nil, q.IRP), ntstatus.NotSupported)
		reg.ReleaseProviderNPI()
		reg.Deregister()
	})
}

// mail is a client's ReceiveFromEvent and what it saw.
type mail struct {
	answer ntstatus.Status
	during func(*wsk.DatagramIndication)
	log    []string
	lists  []*wsk.DatagramIndication
}

func (m *mail) table() *wsk.ClientDatagramDispatch {
	return &wsk.ClientDatagramDispatch{ReceiveFromEvent: func(ctx any, flags uint32, list *wsk.DatagramIndication) ntstatus.Status {
		if list == nil {
			m.log = append(m.log, fmt.Sprintf("dead %v", ctx))
			return ntstatus.Success
		}
		var data []string
		for d := list; d != nil; d = d.Next {
			s := ""
			if d.Buffer.MDL != nil {
				s = string(d.Buffer.MDL.Data)
			}
			data = append(data, fmt.Sprintf("%s %d", s, d.RemoteAddress.Port))
			m.lists = append(m.lists, d)
		}
		m.log = append(m.log, fmt.Sprintf("%s, flags %#x", strings.Join(data, ", "), flags))
		if m.during != nil {
			m.during(list)
		}
		return m.answer
	}}
}

func (m *mail) told(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if !slices.Equal(m.log, want) {
		t.Fatalf("told %q, want %q", m.log, want)
	}
	m.log = nil
}

func TestReceiveFromEvent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		m := &mail{}
		s, box := r.post(m.table())
		box.Deliver(remoteA, here, "a")
		box.Deliver(remoteB, here, "b")
		box.Deliver(remoteB, netip.MustParseAddr("224.0.0.1"), "multi")
		m.told(t)
		enable(t, s, wsk.EventReceiveFrom)
		m.told(t, "a 1001, b 1002, flags 0x0", "multi 1002, flags 0x800")
		// A pended request goes first.
		q := newRequest()
		q.pends(t, s.ReceiveFrom(wsk.NewBuf(make([]byte, 1)), 0, nil, nil, nil, nil, q.IRP)).open(t)
		box.Deliver(remoteA, here, "c")
		q.ends(t, ntstatus.Success, 1)
		// Not accepted: kept, and the callback is off.
		m.answer = ntstatus.DataNotAccepted
		box.Deliver(remoteA, here, "d")
		m.told(t, "d 1001, flags 0x0")
		box.Deliver(remoteA, here, "e")
		m.told(t)
		buf := make([]byte, 1)
		q = newRequest()
		q.pends(t, s.ReceiveFrom(wsk.NewBuf(buf), 0, nil, nil, nil, nil, q.IRP)).ends(t, ntstatus.Success, 1)
		if string(buf) != "d" {
			t.Errorf("received %q", buf)
		}
		m.answer = ntstatus.DeviceNotReady // dropped, and the callback stays on
		enable(t, s, wsk.EventReceiveFrom)
		m.told(t, "e 1001, flags 0x0")
		// Retained, linked anew by the client, and given back piece by piece.
		m.answer = ntstatus.Pending
		m.during = func(list *wsk.DatagramIndication) { list.Next = nil }
		box.Deliver(remoteA, here, "f")
		m.told(t, "f 1001, flags 0x0")
		box.Deliver(remoteA, here, "g")
		m.told(t, "g 1001, flags 0x0")
		f, g := m.lists[len(m.lists)-2], m.lists[len(m.lists)-1]
		g.Next = g
		if st := s.Release(g); st != ntstatus.InvalidParameter {
			t.Errorf("a list that bites its own tail: %v", st)
		}
		g.Next = f
		for k, want := range []ntstatus.Status{ntstatus.Success, ntstatus.InvalidParameter} {
			if st := s.Release(g); st != want {
				t.Errorf("release %d: %v", k, st)
			}
		}
		if st := s.Release(nil); st != ntstatus.InvalidParameter {
			t.Errorf("nil: %v", st)
		}
		// Too much retained: indications pause.
		q = newRequest()
		q.pends(t, s.ControlSocket(wsk.SetOption, wsk.SO_RCVBUF, wsk.SOL_SOCKET, le(2), nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		box.Deliver(remoteA, here, "hh")
		m.told(t, "hh 1001, flags 0x0")
		box.Deliver(remoteA, here, "i")
		m.told(t)
		s.Release(m.lists[len(m.lists)-1])
		m.told(t, "i 1001, flags 0x0")
		enable(t, s, wsk.EventDisable|wsk.EventReceiveFrom)
		box.Deliver(remoteA, here, "")
		m.told(t)
		for _, mask := range []uint32{wsk.EventReceive, wsk.EventAccept | wsk.EventReceiveFrom} {
			q := newRequest()
			q.inline(t, switchEvents(s, mask, q.IRP), ntstatus.InvalidParameter)
		}
		enable(t, s, wsk.EventReceiveFrom)
		m.told(t, " 1001, flags 0x0")
		r.p.Stop()
		m.told(t, "dead context")
		r.close(s)
	})
}

// TestStaticDatagrams has a static callback, which stays on whatever it answers.
func TestStaticDatagrams(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		in := wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventReceiveFrom}.Bytes()
		if st := r.npi.Dispatch.ControlClient(r.npi.Client, wsk.SetStaticEventCallbacks, in, nil, nil, nil); st != ntstatus.Success {
			t.Fatal(st)
		}
		m := &mail{answer: ntstatus.DataNotAccepted}
		s, box := r.post(m.table())
		for _, data := range []string{"a", "b"} {
			box.Deliver(remoteA, here, data)
			m.told(t, data+" 1001, flags 0x0")
		}
		r.close(s)
	})
}
