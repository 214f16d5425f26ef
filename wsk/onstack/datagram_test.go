package onstack_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestDatagrams sends and receives over UDP in both families, and from an IPv6 socket
// to IPv4.
func TestDatagrams(t *testing.T) {
	for name, tt := range map[string]struct {
		family    uint16
		near, far netip.Addr
		network   string
		level     uint32
	}{
		"IPv4":           {wsk.AF_INET, client4, server4, "udp4", wsk.IPPROTO_IP},
		"IPv6":           {wsk.AF_INET6, client6, server6, "udp", wsk.IPPROTO_IPV6},
		"IPv4 over IPv6": {wsk.AF_INET6, client4, server4, "udp4", wsk.IPPROTO_IP},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, fastopen.ModeOff)
			s := w.do(func(i *irp.IRP) ntstatus.Status {
				return w.npi.Dispatch.Socket(w.npi.Client, tt.family, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagDatagramSocket, nil, nil, i)
			}).Object.(*wsk.DatagramSocket)
			set := func(level, code, value uint32) {
				t.Helper()
				in := binary.LittleEndian.AppendUint32(nil, value)
				w.do(func(i *irp.IRP) ntstatus.Status {
					return s.ControlSocket(wsk.SetOption, code, level, in, nil, nil, i)
				})
			}
			if tt.family == wsk.AF_INET6 {
				set(wsk.IPPROTO_IPV6, wsk.IPV6_V6ONLY, 0)
			}
			set(tt.level, wsk.IP_PKTINFO, 1)
			set(tt.level, wsk.IP_HOPLIMIT, 1)
			set(tt.level, wsk.IP_RECVTOS, 1) // of either family, as IP_RECVECN
			set(tt.level, wsk.IP_RECVECN, 1)
			set(wsk.SOL_SOCKET, wsk.SO_RCVBUF, 100_000)
			local := wsk.SockAddr{Family: tt.family, Port: 53}
			w.do(func(i *irp.IRP) ntstatus.Status { return s.Bind(&local, 0, i) })

			far, err := w.server.NewDatagram(tt.network)
			if err != nil {
				t.Fatal(err)
			}
			woken := make(chan struct{}, 1)
			far.SetWake(func() {
				select {
				case woken <- struct{}{}:
				default:
				}
			})
			if err := far.Bind(netip.AddrPortFrom(tt.far, 0)); err != nil {
				t.Fatal(err)
			}
			remote := far.LocalAddr()
			if tt.family == wsk.AF_INET6 && remote.Addr().Is4() {
				remote = netip.AddrPortFrom(netip.AddrFrom16(remote.Addr().As16()), remote.Port())
			}
			to := wsk.SockAddrFrom(remote)
			kind := wsk.IP_TTL
			if tt.level == wsk.IPPROTO_IPV6 {
				kind = wsk.IPV6_HOPLIMIT
			}
			ttl := wsk.AppendControlMessage(nil, tt.level, kind, []byte{9, 0, 0, 0})
			w.do(func(i *irp.IRP) ntstatus.Status { return s.SendTo(wsk.NewBuf([]byte("ping")), 0, &to, ttl, i) })
			<-woken
			buf := make([]byte, 9)
			got, err := far.Receive([][]byte{buf})
			if err != nil || string(buf[:got.Bytes]) != "ping" || got.HopLimit != 9 || got.From != netip.AddrPortFrom(tt.near, 53) || got.To != tt.far {
				t.Fatalf("%q, %+v, %v", buf[:got.Bytes], got, err)
			}
			if err := far.SetTOS(0x22); err != nil {
				t.Fatal(err)
			}
			if err := far.Send([][]byte{[]byte("po"), []byte("ng!")}, got.From, 0); err != nil {
				t.Fatal(err)
			}
			var from wsk.SockAddr
			length, flags, control := uint32(199), uint32(0), make([]byte, 199)
			result := w.do(func(i *irp.IRP) ntstatus.Status {
				return s.ReceiveFrom(wsk.NewBuf(buf[:4]), 0, &from, &length, control, &flags, i)
			})
			info := binary.LittleEndian.AppendUint32(tt.near.AsSlice(), 1)
			want := wsk.AppendControlMessage(nil, tt.level, wsk.IP_PKTINFO, info)
			want = wsk.AppendControlMessage(want, tt.level, wsk.IP_HOPLIMIT, []byte{64, 0, 0, 0})
			class := wsk.IP_TOS
			if tt.level == wsk.IPPROTO_IPV6 {
				class = wsk.IPV6_TCLASS
			}
			want = wsk.AppendControlMessage(want, tt.level, class, []byte{0x22, 0, 0, 0})
			want = wsk.AppendControlMessage(want, tt.level, wsk.IP_ECN, []byte{2, 0, 0, 0})
			if string(buf[:4]) != "pong" || result.Information != 4 || from != to || flags != wsk.MSG_TRUNC || string(control[:length]) != string(want) {
				t.Errorf("%q (%d) from %v, flags %#x, control % x", buf[:4], result.Information, from, flags, control[:length])
			}
			big := newCall(t)
			if st := s.SendTo(wsk.NewBuf(make([]byte, 65536)), 0, &to, nil, big.irp); st != ntstatus.Pending {
				t.Fatal(st)
			}
			big.ends(ntstatus.InvalidBufferSize)
			if tt.family == wsk.AF_INET {
				all := wsk.SockAddrFrom(netip.MustParseAddrPort("255.255.255.255:9"))
				denied := newCall(t)
				s.SendTo(wsk.NewBuf(buf), 0, &all, nil, denied.irp)
				denied.ends(ntstatus.AccessDenied)
				set(wsk.SOL_SOCKET, wsk.SO_BROADCAST, 1)
			}
			w.do(s.CloseSocket)
			if err := errors.Join(far.Close()); err != nil {
				t.Error(err)
			}
			if err := far.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("closed twice: %v", err)
			}
			if _, err := far.Receive(nil); !errors.Is(err, net.ErrClosed) {
				t.Errorf("receives after the close: %v", err)
			}
		})
	}
}

// TestDatagramStackGone has sockets that outlive their stack.
func TestDatagramStackGone(t *testing.T) {
	w := newWorld(t, fastopen.ModeOff)
	d, err := w.server.NewDatagram("udp")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.server.NewDatagram("udp5"); err == nil {
		t.Error("made an unknown network")
	}
	_ = w.server.Close()
	for name, err := range map[string]error{
		"Bind": d.Bind(netip.AddrPort{}), "Send": d.Send(nil, netip.AddrPort{}, 0), "New": second(w.server.NewDatagram("udp")),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_ = d.Close()
}

func second(_ *stack.Datagram, err error) error { return err }
