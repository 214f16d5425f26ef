package wsk_test

import (
	"bytes"
	"math/rand"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// TestConnectExRefusals has every status that ConnectEx documents for a call
// that goes wrong at once, and the order in which they win.
func TestConnectExRefusals(t *testing.T) {
	huge := wsk.NewBuf(make([]byte, 65536))
	short := &wsk.Buf{MDL: &wsk.MDL{Data: []byte("ab")}, Length: 3}
	hugeShort := &wsk.Buf{MDL: &wsk.MDL{Data: []byte("ab")}, Length: 65536}
	noPort := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:0"))
	noHost := wsk.SockAddrFrom(netip.MustParseAddrPort("0.0.0.0:80"))
	v6 := server6
	tests := []struct {
		name  string
		state wsk.State // Bound unless set
		addr  *wsk.SockAddr
		buf   *wsk.Buf
		flags uint32
		want  ntstatus.Status
	}{
		{"flags", wsk.Bound, &server4, nil, 1, ntstatus.InvalidParameter},
		{"too many bytes", wsk.Bound, &server4, huge, 0, ntstatus.BufferOverflow},
		{"too many bytes, whatever the chain holds", wsk.Bound, &server4, hugeShort, 0, ntstatus.BufferOverflow},
		{"chain too short", wsk.Bound, &server4, short, 0, ntstatus.InvalidParameter},
		{"no chain", wsk.Bound, &server4, &wsk.Buf{Length: 1}, 0, ntstatus.InvalidParameter},
		{"unbound", wsk.Init, &server4, nil, 0, ntstatus.InvalidDeviceState},
		{"no address", wsk.Bound, nil, nil, 0, ntstatus.InvalidParameter},
		{"family", wsk.Bound, &v6, nil, 0, ntstatus.InvalidAddressComponent},
		{"no port", wsk.Bound, &noPort, nil, 0, ntstatus.InvalidAddressComponent},
		{"no host", wsk.Bound, &noHost, nil, 0, ntstatus.InvalidAddressComponent},
		{"dead before flags", wsk.Dead, nil, huge, 1, ntstatus.FileForcedClosed},
		{"flags before size", wsk.Init, nil, huge, 1, ntstatus.InvalidParameter},
		{"size before state", wsk.Init, nil, huge, 0, ntstatus.BufferOverflow},
		{"validity before state", wsk.Init, nil, short, 0, ntstatus.InvalidParameter},
		{"state before address", wsk.Init, nil, nil, 0, ntstatus.InvalidDeviceState},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s := r.socket(wsk.FlagConnectionSocket)
				if tt.state == wsk.Bound {
					q := newRequest()
					q.pends(t, s.Bind(&wildcard, 0, q.IRP)).ends(t, ntstatus.Success, 0)
				}
				if tt.state == wsk.Dead {
					r.p.Stop()
				}
				q := newRequest()
				q.inline(t, s.ConnectEx(tt.addr, tt.buf, tt.flags, q.IRP), tt.want)
				if got := s.StateOf(); got != tt.state {
					t.Errorf("in state %v afterwards, want %v", got, tt.state)
				}
				if r.peer().Seen().Connecting {
					t.Error("a connect was started")
				}
				r.close(s)
			})
		})
	}
}

// TestConnectExCompletions has the statuses that a pended ConnectEx ends with.
func TestConnectExCompletions(t *testing.T) {
	for errno, want := range map[syscall.Errno]ntstatus.Status{
		syscall.ECONNREFUSED: ntstatus.ConnectionRefused,
		syscall.ECONNRESET:   ntstatus.ConnectionRefused,
		syscall.ETIMEDOUT:    ntstatus.IOTimeout,
		syscall.ENETUNREACH:  ntstatus.NetworkUnreachable,
		syscall.EHOSTUNREACH: ntstatus.HostUnreachable,
		syscall.EACCES:       ntstatus.AccessDenied,
		syscall.EADDRINUSE:   ntstatus.AddressAlreadyExists,
	} {
		t.Run(want.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s := r.bound()
				first, q := r.peer(), newRequest()
				q.pends(t, s.ConnectEx(&server4, wsk.NewBuf([]byte("x")), 0, q.IRP)).open(t)
				first.Refuse(errno)
				q.ends(t, want, 0)
				if got := s.StateOf(); got != wsk.Bound {
					t.Errorf("in state %v afterwards, want Bound", got)
				}
				// The same socket, bound to the same port, may try again.
				if got := r.peer().Seen().Local.Port(); r.peer() == first || got != first.Seen().Local.Port() {
					t.Errorf("the port was not kept: %d", got)
				}
				q = newRequest()
				q.pends(t, s.Connect(&server4, 0, q.IRP))
				r.peer().Accept()
				q.ends(t, ntstatus.Success, 0)
				r.close(s)
			})
		})
	}
}

// TestConnectExInlineFailure has a transport that refuses to start.
func TestConnectExInlineFailure(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.bound()
		first := r.peer()
		connect := first.Transport.ConnectFunc
		first.Transport.ConnectFunc = func(a netip.AddrPort, o wsk.ConnectOptions) error {
			_ = connect(a, o)
			return syscall.ENETUNREACH
		}
		q := newRequest()
		q.inline(t, s.ConnectEx(&server4, nil, 0, q.IRP), ntstatus.NetworkUnreachable)
		if got := s.StateOf(); got != wsk.Bound {
			t.Errorf("in state %v, want Bound", got)
		}
		if r.peer() == first || !first.Seen().Aborted {
			t.Error("a transport that is spent was kept")
		}
		r.close(s)
	})
}

// TestConnectExAllBytes sends the most that ConnectEx takes, from a chain with an
// offset, empty pieces and a surplus; everything is copied or used in time.
func TestConnectExAllBytes(t *testing.T) {
	covers.IDs(t, "P2")
	for _, fastOpen := range []bool{false, true} {
		bubble(t, func(t *testing.T, r *rig) {
			data := make([]byte, wsk.MaxConnectData)
			rand.New(rand.NewSource(1)).Read(data)
			chain := append([]byte("skip"), data...)
			buf := wsk.NewBuf(chain[:1000], nil, chain[1000:1001], chain[1001:], []byte("surplus"))
			buf.Offset, buf.Length = 4, uint64(len(data))

			s := r.bound()
			if fastOpen {
				q := newRequest()
				q.pends(t, s.ControlSocket(wsk.SetOption, wsk.TCP_FASTOPEN, wsk.IPPROTO_TCP,
					[]byte{1, 0, 0, 0}, nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
			}
			addr, q := server4, newRequest()
			q.pends(t, s.ConnectEx(&addr, buf, 0, q.IRP))
			addr, *buf = wsk.SockAddr{}, wsk.Buf{} // on a stack frame that is gone
			peer := r.peer()
			seen := peer.Seen()
			if seen.Options.FastOpen != fastOpen || seen.Remote != server4.AddrPort() {
				t.Errorf("Fast Open %v to %v", seen.Options.FastOpen, seen.Remote)
			}
			peer.Establish()
			q.open(t)
			peer.Accept()
			q.open(t) // taken over is not sent
			peer.Ack(len(data) - 1)
			q.open(t)
			if got := s.StateOf(); got != wsk.Connecting {
				t.Errorf("in state %v before the last byte is sent", got)
			}
			early := newRequest()
			early.inline(t, s.Send(wsk.NewBuf([]byte("x")), 0, early.IRP), ntstatus.InvalidDeviceState)
			peer.Ack(1)
			q.ends(t, ntstatus.Success, len(data))

			more := newRequest()
			more.pends(t, s.Send(wsk.NewBuf([]byte("after")), 0, more.IRP)).open(t)
			peer.AckAll()
			more.ends(t, ntstatus.Success, 5)
			if !bytes.Equal(peer.Received(), append(data, "after"...)) {
				t.Error("the bytes did not arrive in order, once")
			}
			r.close(s)
		})
	}
}

func TestConnectExEmptyBuffer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, q := r.bound(), newRequest()
		q.pends(t, s.ConnectEx(&server4, &wsk.Buf{}, 0, q.IRP))
		r.peer().Accept()
		q.ends(t, ntstatus.Success, 0)
		if got := r.peer().Seen().Options.Data; got != nil {
			t.Errorf("sent %q", got)
		}
		r.close(s)
	})
}

// TestConnectExCancel cancels before the connection is up (the socket is bound
// again) and while the buffer is still going out (the connection is aborted).
func TestConnectExCancel(t *testing.T) {
	t.Run("connecting", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			s, q := r.bound(), newRequest()
			q.pends(t, s.ConnectEx(&server4, wsk.NewBuf([]byte("x")), 0, q.IRP)).open(t)
			first := r.peer()
			q.Cancel()
			q.ends(t, ntstatus.Cancelled, 0)
			if s.StateOf() != wsk.Bound || !first.Seen().Aborted {
				t.Errorf("state %v, abandoned %v", s.StateOf(), first.Seen().Aborted)
			}
			r.close(s)
		})
	})
	for name, up := range map[string]func(r *rig){
		"buffer going out":    func(r *rig) { r.peer().Establish() },
		"buffer not yet sent": func(r *rig) { r.peer().Accept() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s, q := r.bound(), newRequest()
				q.pends(t, s.ConnectEx(&server4, wsk.NewBuf([]byte("x")), 0, q.IRP))
				up(r)
				q.open(t)
				q.Cancel()
				q.ends(t, ntstatus.Cancelled, 0)
				if s.StateOf() != wsk.Aborted || !r.peer().Seen().Aborted {
					t.Errorf("state %v, aborted %v", s.StateOf(), r.peer().Seen().Aborted)
				}
				q = newRequest()
				q.inline(t, s.Send(wsk.NewBuf([]byte("x")), 0, q.IRP), ntstatus.ConnectionAborted)
				r.close(s)
			})
		})
	}
	t.Run("before the call", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			s, q := r.bound(), newRequest()
			q.Cancel()
			q.inline(t, s.ConnectEx(&server4, nil, 0, q.IRP), ntstatus.Cancelled)
			if s.StateOf() != wsk.Bound {
				t.Error("the cancelled call did something")
			}
			// But closing works even so.
			q = newRequest()
			q.Cancel()
			q.pends(t, s.CloseSocket(q.IRP)).ends(t, ntstatus.Success, 0)
		})
	})
}

// TestConnectExBreaks has a connection that came up and went before the buffer
// was sent: the request fails with the send's status, the socket is not bound.
func TestConnectExBreaks(t *testing.T) {
	for _, up := range []func(r *rig){func(r *rig) { r.peer().Establish() }, func(r *rig) { r.peer().Accept() }} {
		bubble(t, func(t *testing.T, r *rig) {
			s, q := r.bound(), newRequest()
			q.pends(t, s.ConnectEx(&server4, wsk.NewBuf([]byte("x")), 0, q.IRP))
			up(r)
			q.open(t)
			r.peer().Fail(syscall.ECONNRESET)
			q.ends(t, ntstatus.ConnectionReset, 0)
			if s.StateOf() != wsk.Aborted {
				t.Errorf("in state %v, want Aborted", s.StateOf())
			}
			r.close(s)
		})
	}
}

func TestBind(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.socket(wsk.FlagConnectionSocket)
		q := newRequest()
		q.inline(t, s.Bind(&wildcard, 1, q.IRP), ntstatus.InvalidParameter)
		q = newRequest()
		q.inline(t, s.Bind(nil, 0, q.IRP), ntstatus.InvalidParameter)
		q = newRequest()
		q.inline(t, s.Bind(&server6, 0, q.IRP), ntstatus.InvalidAddressComponent)
		bind := r.peer().Transport.BindFunc
		for errno, want := range map[syscall.Errno]ntstatus.Status{
			syscall.EADDRINUSE:    ntstatus.AddressAlreadyExists,
			syscall.EADDRNOTAVAIL: ntstatus.InvalidAddressComponent,
			syscall.EAGAIN:        ntstatus.TooManyAddresses,
			syscall.EACCES:        ntstatus.AccessDenied,
		} {
			r.peer().Transport.BindFunc = func(netip.AddrPort) error { return errno }
			q = newRequest()
			q.inline(t, s.Bind(&wildcard, 0, q.IRP), want)
		}
		r.peer().Transport.BindFunc = bind
		q = newRequest()
		q.pends(t, s.Bind(&wildcard, 0, q.IRP)).ends(t, ntstatus.Success, 0)

		var local wsk.SockAddr
		q = newRequest()
		q.pends(t, s.GetLocalAddress(&local, q.IRP)).ends(t, ntstatus.Success, 0)
		if local.Family != wsk.AF_INET || local.Port == 0 || !local.AddrPort().Addr().IsUnspecified() {
			t.Errorf("local address %v: want the wildcard with a port", local)
		}
		q = newRequest()
		q.inline(t, s.GetLocalAddress(nil, q.IRP), ntstatus.InvalidParameter)
		r.close(s)
	})
}

func TestSocketConnect(t *testing.T) {
	connect := func(r *rig, q *request, local, remote *wsk.SockAddr, flags uint32) ntstatus.Status {
		return r.npi.Dispatch.SocketConnect(r.npi.Client, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, local, remote, flags, "ctx", nil, q.IRP)
	}
	t.Run("success", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			q := newRequest()
			q.pends(t, connect(r, q, &wildcard, &server4, 0)).open(t)
			r.peer().Accept()
			q.ends(t, ntstatus.Success, 0)
			s := q.result.Object.(*wsk.ConnectionSocket)
			var remote wsk.SockAddr
			q = newRequest()
			q.pends(t, s.GetRemoteAddress(&remote, q.IRP)).ends(t, ntstatus.Success, 0)
			if remote != server4 || s.StateOf() != wsk.Connected {
				t.Errorf("connected to %v, state %v", remote, s.StateOf())
			}
			r.close(s)
		})
	})
	for name, fail := range map[string]func(r *rig, q *request) ntstatus.Status{
		"refused": func(r *rig, _ *request) ntstatus.Status {
			r.peer().Refuse(syscall.ECONNREFUSED)
			return ntstatus.ConnectionRefused
		},
		"cancelled": func(_ *rig, q *request) ntstatus.Status { q.Cancel(); return ntstatus.Cancelled },
		"stopped":   func(r *rig, _ *request) ntstatus.Status { r.p.Stop(); return ntstatus.FileForcedClosed },
	} {
		t.Run(name, func(t *testing.T) {
			// bubble's deregistration proves that no socket is left.
			bubble(t, func(t *testing.T, r *rig) {
				q := newRequest()
				q.pends(t, connect(r, q, &wildcard, &server4, 0)).open(t)
				want := fail(r, q)
				q.ends(t, want, 0)
				if q.result.Object != nil || !r.peer().Seen().Aborted {
					t.Errorf("object %v, transport given up: %v", q.result.Object, r.peer().Seen().Aborted)
				}
			})
		})
	}
	t.Run("inline", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			noPort := wsk.SockAddr{Family: wsk.AF_INET}
			for _, tt := range []struct {
				local, remote *wsk.SockAddr
				flags         uint32
				want          ntstatus.Status
			}{
				{&wildcard, &server4, 1, ntstatus.InvalidParameter},
				{nil, &server4, 0, ntstatus.InvalidParameter},
				{&wildcard, nil, 0, ntstatus.InvalidParameter},
				{&wildcard, &server6, 0, ntstatus.InvalidAddressComponent},
				{&wildcard, &noPort, 0, ntstatus.InvalidAddressComponent},
			} {
				q := newRequest()
				q.inline(t, connect(r, q, tt.local, tt.remote, tt.flags), tt.want)
			}
		})
	})
}

func TestSocketRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, tt := range []struct {
			name            string
			family, kind    uint16
			protocol, flags uint32
			want            ntstatus.Status
		}{
			{"two categories", wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, 0x3, ntstatus.InvalidParameter},
			{"unknown category", wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, 0x10, ntstatus.InvalidParameter},
			{"family", wsk.AF_UNSPEC, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, ntstatus.NotSupported},
			{"type", wsk.AF_INET, wsk.SOCK_DGRAM, wsk.IPPROTO_TCP, wsk.FlagConnectionSocket, ntstatus.InvalidParameter},
			{"protocol", wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_UDP, wsk.FlagStreamSocket, ntstatus.InvalidParameter},
			{"no protocol", wsk.AF_INET, wsk.SOCK_STREAM, 0, wsk.FlagStreamSocket, ntstatus.InvalidParameter},
			{"basic", wsk.AF_INET, wsk.SOCK_DGRAM, wsk.IPPROTO_TCP, wsk.FlagBasicSocket, ntstatus.InvalidParameter},
			{"listening", wsk.AF_INET6, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, wsk.FlagListenSocket, ntstatus.InvalidParameter},
			{"raw", wsk.AF_INET, wsk.SOCK_RAW, wsk.IPPROTO_ICMP, wsk.FlagDatagramSocket, ntstatus.NotSupported},
			{"datagram over TCP", wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagDatagramSocket, ntstatus.InvalidParameter},
		} {
			q := newRequest()
			got := r.npi.Dispatch.Socket(r.npi.Client, tt.family, tt.kind, tt.protocol, tt.flags, nil, nil, q.IRP)
			t.Log(tt.name)
			q.inline(t, got, tt.want)
		}
		other := wsktest.NewProvider(t)
		for _, c := range []*wsk.Client{nil, clientOf(t, other)} {
			q := newRequest()
			q.inline(t, r.npi.Dispatch.Socket(c, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagStreamSocket, nil, nil, q.IRP), ntstatus.InvalidParameter)
		}
		r.p.Stop()
		q := newRequest()
		q.inline(t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagStreamSocket, nil, nil, q.IRP), ntstatus.DeviceNotReady)
	})
}

// TestDualStack clears IPV6_V6ONLY: IPv4 peers look v4-mapped.
func TestDualStack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		mapped := wsk.SockAddrFrom(netip.MustParseAddrPort("[::ffff:192.0.2.1]:80"))
		for _, only := range []byte{1, 0} {
			s := r.socketOf(wsk.AF_INET6, wsk.FlagConnectionSocket)
			q := newRequest()
			q.pends(t, s.ControlSocket(wsk.SetOption, wsk.IPV6_V6ONLY, wsk.IPPROTO_IPV6, []byte{only, 0, 0, 0}, nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
			q = newRequest()
			q.pends(t, s.Bind(&wildcard6, 0, q.IRP)).ends(t, ntstatus.Success, 0)
			q = newRequest()
			got := s.Connect(&mapped, 0, q.IRP)
			if only == 1 {
				q.inline(t, got, ntstatus.InvalidAddressComponent)
				r.close(s)
				continue
			}
			q.pends(t, got)
			r.peer().Accept()
			q.ends(t, ntstatus.Success, 0)
			var remote wsk.SockAddr
			q = newRequest()
			q.pends(t, s.GetRemoteAddress(&remote, q.IRP)).ends(t, ntstatus.Success, 0)
			if remote != mapped {
				t.Errorf("peer %v, want %v", remote, mapped)
			}
			r.close(s)
		}
	})
}

// TestNoIRP has calls without an IRP, with one that is not idle, and on sockets
// that are none.
func TestNoIRP(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s, _ := r.connected()
		busy := newRequest()
		busy.pends(t, s.Receive(wsk.NewBuf(make([]byte, 1)), 0, busy.IRP)).open(t)
		done := newRequest()
		done.pends(t, s.Send(&wsk.Buf{}, 0, done.IRP)).ends(t, ntstatus.Success, 0)
		for _, i := range []*irp.IRP{nil, busy.IRP, done.IRP} {
			for fn := range wsk.NumFunctions {
				if !hasFunction(s, fn) || fn == wsk.FnEvents && i == nil { // which needs none
					continue
				}
				if got := callIn(s, fn, wsk.AF_INET, &request{IRP: i}); got != ntstatus.InvalidParameter {
					t.Errorf("%v answers %v", fn, got)
				}
			}
			if got := r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.FlagStreamSocket, nil, nil, i); got != ntstatus.InvalidParameter {
				t.Errorf("Socket answers %v", got)
			}
		}
		busy.open(t)
		if s.StateOf() != wsk.Connected {
			t.Errorf("in state %v", s.StateOf())
		}
		for _, bad := range []socket{(*wsk.ConnectionSocket)(nil), &wsk.ConnectionSocket{}, (*wsk.StreamSocket)(nil), &wsk.StreamSocket{}} {
			for fn := range wsk.NumFunctions {
				if !hasFunction(bad, fn) {
					continue
				}
				q := newRequest()
				q.inline(t, callIn(bad, fn, wsk.AF_INET, q), ntstatus.InvalidParameter)
			}
		}
		r.close(s)
		busy.ends(t, ntstatus.Cancelled, 0)
		synctest.Wait()
	})
}
