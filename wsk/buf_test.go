package wsk_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

func TestSegments(t *testing.T) {
	chain := func(parts ...string) *wsk.MDL {
		var first *wsk.MDL
		for i := len(parts) - 1; i >= 0; i-- {
			first = &wsk.MDL{Next: first, Data: []byte(parts[i])}
		}
		return first
	}
	loop := chain("", "")
	loop.Next.Next = loop
	for _, tt := range []struct {
		name string
		buf  *wsk.Buf
		want string
		st   ntstatus.Status
	}{
		{"nil", nil, "", ntstatus.InvalidParameter},
		{"empty", &wsk.Buf{}, "", ntstatus.Success},
		{"empty with a chain", &wsk.Buf{MDL: chain("abc"), Offset: 9}, "", ntstatus.Success},
		{"no chain", &wsk.Buf{Length: 1}, "", ntstatus.InvalidParameter},
		{"all", &wsk.Buf{MDL: chain("ab", "", "cd"), Length: 4}, "abcd", ntstatus.Success},
		{"middle", &wsk.Buf{MDL: chain("ab", "cd", "ef"), Offset: 1, Length: 4}, "bcde", ntstatus.Success},
		{"offset at the end of the first", &wsk.Buf{MDL: chain("ab", "cd"), Offset: 2, Length: 2}, "cd", ntstatus.Success},
		{"offset beyond the first", &wsk.Buf{MDL: chain("ab", "cd"), Offset: 3, Length: 1}, "", ntstatus.InvalidParameter},
		{"one too many", &wsk.Buf{MDL: chain("ab", "cd"), Offset: 1, Length: 4}, "", ntstatus.InvalidParameter},
		{"absurd length", &wsk.Buf{MDL: chain("ab"), Length: 1 << 63}, "", ntstatus.InvalidParameter},
		{"empty loop", &wsk.Buf{MDL: loop, Length: 1}, "", ntstatus.InvalidParameter},
	} {
		segs, st := tt.buf.Segments()
		if got := string(bytes.Join(segs, nil)); got != tt.want || st != tt.st {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, st, tt.want, tt.st)
		}
		for _, s := range segs {
			if len(s) == 0 {
				t.Errorf("%s: an empty segment", tt.name)
			}
		}
	}
}

func TestSockAddr(t *testing.T) {
	for _, text := range []string{"192.0.2.1:80", "0.0.0.0:0", "[2001:db8::1]:443", "[fe80::1%3]:1", "[::ffff:192.0.2.1]:80"} {
		ap := netip.MustParseAddrPort(text)
		s := wsk.SockAddrFrom(ap)
		if s.AddrPort() != ap || s.String() != text {
			t.Errorf("%s comes back as %v", text, s)
		}
	}
	if s := wsk.SockAddrFrom(netip.AddrPort{}); s.AddrPort().IsValid() || s.Family != wsk.AF_UNSPEC {
		t.Errorf("no address becomes %v", s)
	}
}

// TestErrnoTable walks every row; the expectation is written out here.
func TestErrnoTable(t *testing.T) {
	want := []wsk.ErrnoRow{
		{syscall.EAGAIN, "binding", ntstatus.TooManyAddresses},
		{syscall.EAGAIN, "connecting", ntstatus.TooManyAddresses},
		{syscall.ECONNRESET, "connecting", ntstatus.ConnectionRefused},
		{syscall.ENOPROTOOPT, "connecting", ntstatus.ProtocolUnreachable},
		{syscall.EINVAL, "setting", ntstatus.InvalidParameter},
		{syscall.ENODEV, "binding", ntstatus.InvalidParameter},
		{syscall.ENODEV, "connecting", ntstatus.InvalidParameter},
		{syscall.ENODEV, "setting", ntstatus.InvalidParameter},
		{syscall.ECONNREFUSED, "always", ntstatus.ConnectionRefused},
		{syscall.ETIMEDOUT, "always", ntstatus.IOTimeout},
		{syscall.ENETUNREACH, "always", ntstatus.NetworkUnreachable},
		{syscall.ENETDOWN, "always", ntstatus.NetworkUnreachable},
		{syscall.ENONET, "always", ntstatus.NetworkUnreachable},
		{syscall.EHOSTUNREACH, "always", ntstatus.HostUnreachable},
		{syscall.EHOSTDOWN, "always", ntstatus.HostUnreachable},
		{syscall.ECONNRESET, "always", ntstatus.ConnectionReset},
		{syscall.ECONNABORTED, "always", ntstatus.ConnectionAborted},
		{syscall.EPIPE, "always", ntstatus.ConnectionDisconnected},
		{syscall.ESHUTDOWN, "always", ntstatus.ConnectionDisconnected},
		{syscall.ENOTCONN, "always", ntstatus.InvalidDeviceState},
		{syscall.EINVAL, "always", ntstatus.InvalidDeviceState},
		{syscall.EISCONN, "always", ntstatus.InvalidDeviceState},
		{syscall.EALREADY, "always", ntstatus.InvalidDeviceState},
		{syscall.EINPROGRESS, "always", ntstatus.InvalidDeviceState},
		{syscall.EBUSY, "always", ntstatus.InvalidDeviceState},
		{syscall.EADDRINUSE, "always", ntstatus.AddressAlreadyExists},
		{syscall.EEXIST, "always", ntstatus.AddressAlreadyExists},
		{syscall.EADDRNOTAVAIL, "always", ntstatus.InvalidAddressComponent},
		{syscall.EFAULT, "always", ntstatus.InvalidAddressComponent},
		{syscall.EAFNOSUPPORT, "always", ntstatus.NotSupported},
		{syscall.EPROTONOSUPPORT, "always", ntstatus.NotSupported},
		{syscall.EDESTADDRREQ, "always", ntstatus.InvalidParameter},
		{syscall.EMSGSIZE, "always", ntstatus.InvalidBufferSize},
		{syscall.ENOBUFS, "always", ntstatus.InsufficientResources},
		{syscall.ENOMEM, "always", ntstatus.InsufficientResources},
		{syscall.EACCES, "always", ntstatus.AccessDenied},
		{syscall.EPERM, "always", ntstatus.AccessDenied},
		{syscall.EOPNOTSUPP, "always", ntstatus.NotSupported},
		{syscall.ENOPROTOOPT, "always", ntstatus.NotSupported},
		{syscall.ENOTTY, "always", ntstatus.NotSupported},
		{syscall.ENODEV, "always", ntstatus.FileForcedClosed},
	}
	rows := wsk.ErrnoRows()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, %d expected", len(rows), len(want))
	}
	for i, w := range want {
		if rows[i] != w {
			t.Errorf("row %d is %v, want %v", i, rows[i], w)
		}
		// Through the wrapping that errors have in practice.
		err := &net.OpError{Op: "connect", Err: w.Errno}
		if got := wsk.StatusOf(err, w.During); got != w.Status {
			t.Errorf("%v while %s is %v, want %v", w.Errno, w.During, got, w.Status)
		}
	}
	for err, w := range map[error]ntstatus.Status{
		nil: ntstatus.Success, io.EOF: ntstatus.Success, net.ErrClosed: ntstatus.FileForcedClosed,
		errors.New("other"): ntstatus.Unsuccessful, syscall.EXDEV: ntstatus.Unsuccessful,
	} {
		if got := wsk.StatusOf(err, "always"); got != w {
			t.Errorf("%v is %v, want %v", err, got, w)
		}
	}
}
