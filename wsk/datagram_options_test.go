package wsk_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestReceiveTraffic asks for the type of service, or traffic class, of what comes in,
// and for its two bits of ECN alone.
func TestReceiveTraffic(t *testing.T) {
	here6 := netip.MustParseAddr("2001:db8::7")
	for _, tt := range []struct {
		name               string
		family             uint16
		level              uint32
		option, kind       uint32
		receive, congested uint32
		from               netip.AddrPort
		to                 netip.Addr
	}{
		{"IPv4", wsk.AF_INET, wsk.IPPROTO_IP, wsk.IP_RECVTOS, wsk.IP_TOS, wsk.IP_RECVECN, wsk.IP_ECN, remoteA, here},
		{"IPv6", wsk.AF_INET6, wsk.IPPROTO_IPV6, wsk.IPV6_RECVTCLASS, wsk.IPV6_TCLASS, wsk.IPV6_RECVECN, wsk.IPV6_ECN, server6.AddrPort(), here6},
	} {
		bubble(t, func(t *testing.T, r *rig) {
			s := r.datagram(tt.family, nil)
			box := r.boxes[0]
			q := newRequest()
			q.pends(t, s.Bind(&wsk.SockAddr{Family: tt.family}, 0, q.IRP)).ends(t, ntstatus.Success, 0)
			class := wsk.AppendControlMessage(nil, tt.level, tt.kind, le(0x2B))
			for _, step := range []struct {
				option, on uint32
				want       []byte
			}{
				{tt.option, 0, nil},
				{tt.option, 1, class},
				{tt.receive, 1, wsk.AppendControlMessage(slices.Clone(class), tt.level, tt.congested, le(3))},
				{tt.option, 0, wsk.AppendControlMessage(nil, tt.level, tt.congested, le(3))},
			} {
				set(t, s, tt.level, step.option, step.on)
				control, length := make([]byte, 99), uint32(99)
				q := newRequest()
				q.pends(t, s.ReceiveFrom(&wsk.Buf{}, 0, nil, &length, control, nil, q.IRP)).open(t)
				box.Deliver(tt.from, tt.to, "")
				if q.ends(t, ntstatus.Success, 0); !bytes.Equal(control[:length], step.want) {
					t.Errorf("%s, option %d: control information % x, want % x", tt.name, step.option, control[:length], step.want)
				}
			}
			r.close(s)
		})
	}
}

// TestMessageSize cuts what is longer, across the pieces of its memory, and leaves alone
// what is not.
func TestMessageSize(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, box := r.post(nil)
		to := wsk.SockAddrFrom(remoteA)
		for _, tt := range []struct {
			size uint32
			buf  *wsk.Buf
			want []string
		}{
			{0, wsk.NewBuf([]byte("0123456789")), []string{"0123456789"}},
			{4, wsk.NewBuf([]byte("01"), []byte("234"), []byte("56789")), []string{"0123", "4567", "89"}},
			{5, wsk.NewBuf([]byte("01234"), []byte("56789")), []string{"01234", "56789"}},
			{20, wsk.NewBuf([]byte("0123456789")), []string{"0123456789"}},
			{4, &wsk.Buf{}, []string{""}},
		} {
			set(t, s, wsk.IPPROTO_UDP, wsk.UDP_SEND_MSG_SIZE, tt.size)
			q := newRequest()
			q.pends(t, s.SendTo(tt.buf, 0, &to, nil, q.IRP)).ends(t, ntstatus.Success, int(tt.buf.Length))
			var got []string
			for _, d := range box.Sent() {
				got = append(got, d.Data)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("in datagrams of %d bytes: %q, want %q", tt.size, got, tt.want)
			}
		}
		r.close(s)
	})
}

// TestOneInterface has the one interface, and no choice, pass where one is to be chosen.
func TestOneInterface(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, tt := range []struct {
			on    string
			level uint32
			code  uint32
			one   uint32
		}{
			{atTCP, wsk.IPPROTO_IP, wsk.IP_UNICAST_IF, binary.BigEndian.Uint32(le(1))},
			{atTCP6, wsk.IPPROTO_IPV6, wsk.IPV6_UNICAST_IF, 1},
			{atUDP, wsk.IPPROTO_IP, wsk.IP_MULTICAST_IF, binary.BigEndian.Uint32(le(1))},
			{atUDP6, wsk.IPPROTO_IPV6, wsk.IPV6_MULTICAST_IF, 1},
		} {
			s := r.tried(tt.on)
			set(t, s, tt.level, tt.code, tt.one)
			set(t, s, tt.level, tt.code, 0)
			q := newRequest()
			q.inline(t, s.ControlSocket(wsk.SetOption, tt.code, tt.level, le(2), nil, nil, q.IRP), ntstatus.InvalidParameter)
			r.close(s)
		}
	})
}

// TestMulticastDefaults has a new socket tell how multicasts really leave it.
func TestMulticastDefaults(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.datagram(wsk.AF_INET, nil)
		for _, code := range []uint32{wsk.IP_MULTICAST_TTL, wsk.IP_MULTICAST_LOOP} {
			out, q := make([]byte, 4), newRequest()
			st := s.ControlSocket(wsk.GetOption, code, wsk.IPPROTO_IP, nil, out, nil, q.IRP)
			synctest.Wait()
			if q.pends(t, st).ends(t, ntstatus.Success, 4); out[0] != 1 {
				t.Errorf("option %d is %d, want 1", code, out[0])
			}
		}
		r.close(s)
	})
}
