package wsk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// FuzzBuf describes pieces of memory by an offset and a length, and compares with the
// bytes of the whole chain.
func FuzzBuf(f *testing.F) {
	f.Add([]byte{3, 0, 2}, uint32(1), uint64(4))
	f.Add([]byte{}, uint32(0), uint64(0))
	f.Add([]byte{1}, uint32(2), uint64(1))
	f.Add([]byte{2, 2}, uint32(2), uint64(1<<64-1))
	f.Fuzz(func(t *testing.T, sizes []byte, offset uint32, length uint64) {
		var whole []byte
		var pieces [][]byte
		for _, n := range sizes {
			piece := make([]byte, n)
			for k := range piece {
				piece[k] = byte(len(whole) + k)
			}
			whole, pieces = append(whole, piece...), append(pieces, piece)
		}
		b := wsk.NewBuf(pieces...)
		b.Offset, b.Length = offset, length
		fits := length == 0 || len(sizes) > 0 && uint64(offset) <= uint64(sizes[0]) && length <= uint64(len(whole))-uint64(offset)
		segs, status := b.Segments()
		if fits != (status == ntstatus.Success) || !fits && status != ntstatus.InvalidParameter {
			t.Fatalf("%v of %v at %d: %v", length, sizes, offset, status)
		}
		got := bytes.Join(segs, nil)
		if fits && length > 0 && !bytes.Equal(got, whole[offset:][:length]) || !fits && segs != nil {
			t.Errorf("other bytes: % x", got)
		}
	})
}

// FuzzSockAddr reads a binary address, and what comes out of its own form again.
func FuzzSockAddr(f *testing.F) {
	f.Add(server4.Bytes())
	f.Add(server6.Bytes())
	f.Add(server6.Bytes()[:16])
	f.Add([]byte{2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := wsk.ParseSockAddr(b)
		long := map[uint16]int{wsk.AF_INET: 16, wsk.AF_INET6: 28}
		if want := len(b) >= 2 && long[binary.LittleEndian.Uint16(b)] != 0 && len(b) >= long[binary.LittleEndian.Uint16(b)]; ok != want {
			t.Fatalf("read % x: %v, want %v", b, ok, want)
		}
		if !ok {
			return
		}
		again, ok := wsk.ParseSockAddr(a.Bytes())
		if !ok || again != a {
			t.Errorf("%v comes back as %v", a, again)
		}
		_ = a.String()
		if back := wsk.SockAddrFrom(a.AddrPort()); back != a {
			t.Errorf("%v comes back from the standard library as %v", a, back)
		}
	})
}

// FuzzControlMessages reads a list of control messages as a sender's; one that was
// accepted stays so when it is taken apart and put together again.
func FuzzControlMessages(f *testing.F) {
	ttl := wsk.AppendControlMessage(nil, wsk.IPPROTO_IP, wsk.IP_TTL, le(3))
	f.Add(ttl)
	f.Add(wsk.AppendControlMessage(ttl, wsk.IPPROTO_IPV6, wsk.IPV6_HOPLIMIT, le(255)))
	for _, list := range badControl {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		before := bytes.Clone(list)
		status := wsk.SendControl(list)
		if !bytes.Equal(list, before) {
			t.Error("the list was written to")
		}
		if status != ntstatus.Success {
			if status != ntstatus.InvalidParameter && status != ntstatus.NotSupported && status != ntstatus.InvalidAddressComponent {
				t.Errorf("% x: %v", list, status)
			}
			return
		}
		var again []byte
		for rest := list; len(rest) > 0; {
			size := binary.LittleEndian.Uint64(rest)
			if size < 16 || size > uint64(len(rest)) {
				t.Fatalf("accepted a message of %d bytes in %d", size, len(rest))
			}
			again = wsk.AppendControlMessage(again, binary.LittleEndian.Uint32(rest[8:]), binary.LittleEndian.Uint32(rest[12:]), rest[16:size])
			rest = rest[min(int(size+7)&^7, len(rest)):]
		}
		if got := wsk.SendControl(again); got != status {
			t.Errorf("put together again: %v", got)
		}
	})
}

// FuzzControlSocket gives any option, ioctl and value to a socket of any category: the
// call does not panic, its IRP completes once, Information stays within the output, and
// the socket closes.
func FuzzControlSocket(f *testing.F) {
	const sol, tcp = wsk.SOL_SOCKET, wsk.IPPROTO_TCP
	f.Add(uint8(2), uint8(wsk.SetOption), wsk.TCP_FASTOPEN, tcp, []byte{1, 0, 0, 0}, uint8(0))
	f.Add(uint8(1), uint8(wsk.GetOption), wsk.SO_RCVBUF, sol, []byte{}, uint8(4))
	f.Add(uint8(3), uint8(wsk.Ioctl), wsk.SIO_WSK_SET_REMOTE_ADDRESS, uint32(0), server4.Bytes(), uint8(0))
	f.Add(uint8(4), uint8(wsk.SetOption), wsk.SO_WSK_EVENT_CALLBACK, sol,
		wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: wsk.EventReceive}.Bytes(), uint8(0))
	f.Add(uint8(0), uint8(3), uint32(0), uint32(0), []byte{}, uint8(0))
	p := wsktest.NewProvider(f)
	err := p.Start(wsktest.DatagramNetwork{
		Network:   func(bool) (wsk.Transport, error) { return wsktest.NewPeer().Transport, nil },
		Datagrams: func(bool) (wsk.Datagram, error) { return &wsktest.Mailbox{}, nil },
	})
	if err != nil {
		f.Fatal(err)
	}
	var reg wsk.Registration
	var npi wsk.ProviderNPI
	p.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}, &reg)
	reg.CaptureProviderNPI(wsk.NoWait, &npi)
	kinds := []struct {
		flag     uint32
		kind     uint16
		protocol uint32
	}{
		{cBasic, wsk.SOCK_STREAM, tcp}, {cListen, wsk.SOCK_STREAM, tcp}, {cConnection, wsk.SOCK_STREAM, tcp},
		{cDatagram, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP}, {cStream, wsk.SOCK_STREAM, tcp},
	}
	f.Fuzz(func(t *testing.T, which, what uint8, code, level uint32, input []byte, room uint8) {
		k := kinds[int(which)%len(kinds)]
		var l wsktest.Ledger
		wait := func(call func(i *irp.IRP) ntstatus.Status) irp.StatusBlock {
			t.Helper()
			done := make(chan irp.StatusBlock, 1)
			e := l.New(func(_ *wsktest.Entry, result irp.StatusBlock) { done <- result })
			e.Submit(call)
			ctx, stop := context.WithTimeout(context.Background(), time.Minute)
			defer stop()
			select {
			case result := <-done:
				return result
			case <-ctx.Done():
				t.Fatal("an IRP is lost")
			}
			panic("not reached")
		}
		family := []uint16{wsk.AF_INET, wsk.AF_INET6}[which/128]
		s := wait(func(i *irp.IRP) ntstatus.Status {
			return npi.Dispatch.Socket(npi.Client, family, k.kind, k.protocol, k.flag, nil, nil, i)
		}).Object.(closer)
		if b, ok := s.(binder); ok && which&64 != 0 {
			wait(func(i *irp.IRP) ntstatus.Status { return b.Bind(&wsk.SockAddr{Family: family}, 0, i) })
		}
		out, size := make([]byte, room), uint64(0)
		if got := s.ControlSocket(wsk.ControlType(what), code, level, input, out, &size, nil); got == ntstatus.Pending || got.Success() && size > uint64(room) {
			t.Errorf("without an IRP: %v, %d bytes", got, size)
		}
		e := l.New(nil) // a change of something may be waited for
		e.Submit(func(i *irp.IRP) ntstatus.Status {
			return s.ControlSocket(wsk.ControlType(what), code, level, input, out, nil, i)
		})
		if result := wait(s.CloseSocket); result.Status != ntstatus.Success {
			t.Errorf("closes with %v", result.Status)
		}
		if result := e.IRP().IoStatus(); result.Status.Success() && result.Information > uintptr(room) {
			t.Errorf("Information %d for %d bytes of room", result.Information, room)
		}
		if n := l.Open(); n != 0 || len(l.Faults()) > 0 {
			t.Errorf("%d open, %v", n, l.Faults())
		}
	})
}
