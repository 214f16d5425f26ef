package wsk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

func le(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// TestOptions sets and gets every option and looks at what the transport was told.
func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name        string
		level, code uint32
		initial     uint32
		value       uint32
		told        string
		boolean     bool
	}{
		{"TCP_FASTOPEN", 6, 15, 0, 1, "", true},
		{"TCP_NODELAY", 6, 1, 0, 1, "nodelay true", true},
		{"TCP_KEEPIDLE", 6, 3, 7200, 30, "keepalive false 30s 1s 10", false},
		{"TCP_KEEPINTVL", 6, 17, 1, 5, "keepalive false 2h0m0s 5s 10", false},
		{"TCP_KEEPCNT", 6, 16, 10, 3, "keepalive false 2h0m0s 1s 3", false},
		{"TCP_MAXSEG", 6, 4, 1460, 1000, "segment 1000", false},
		{"SO_KEEPALIVE", 0xFFFF, 8, 0, 1, "keepalive true 2h0m0s 1s 10", true},
		{"SO_RCVBUF", 0xFFFF, 0x1002, 131072, 65536, "receive 65536", false},
		{"SO_SNDBUF", 0xFFFF, 0x1001, 16384, 32768, "send 32768", false},
		{"IPV6_V6ONLY", 41, 27, 1, 0, "v6only false", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s := r.socketOf(wsk.AF_INET6, wsk.FlagStreamSocket)
				told := listen(r)
				get := func(out []byte, want uint32) {
					t.Helper()
					q := newRequest()
					q.pends(t, s.ControlSocket(wsk.GetOption, tt.code, tt.level, nil, out, nil, q.IRP)).ends(t, ntstatus.Success, min(len(out), 4))
					if !bytes.Equal(out[:min(len(out), 4)], le(want)[:min(len(out), 4)]) {
						t.Errorf("got % x, want %d", out, want)
					}
				}
				set := func(in []byte) *request {
					t.Helper()
					q := newRequest()
					return q.pends(t, s.ControlSocket(wsk.SetOption, tt.code, tt.level, in, nil, nil, q.IRP))
				}
				get(make([]byte, 4), tt.initial)
				in := le(tt.value)
				q := set(in)
				clear(in) // copied before the return
				q.ends(t, ntstatus.Success, 0)
				get(make([]byte, 8), tt.value)
				if *told != tt.told {
					t.Errorf("the transport was told %q, want %q", *told, tt.told)
				}
				if tt.boolean {
					get(make([]byte, 1), tt.value)
					set([]byte{1 - byte(tt.value)}).ends(t, ntstatus.Success, 0)
					get(make([]byte, 4), 1-tt.value)
				} else {
					for _, bad := range [][]byte{le(0), le(0xFFFFFFFF)} {
						q := newRequest()
						q.inline(t, s.ControlSocket(wsk.SetOption, tt.code, tt.level, bad, nil, nil, q.IRP), ntstatus.InvalidParameter)
					}
				}
				q = newRequest()
				q.inline(t, s.ControlSocket(wsk.SetOption, tt.code, tt.level, []byte{1, 0}, nil, nil, q.IRP), ntstatus.InvalidParameter)
				q = newRequest()
				q.inline(t, s.ControlSocket(wsk.GetOption, tt.code, tt.level, nil, nil, nil, q.IRP), ntstatus.BufferTooSmall)
				r.close(s)
			})
		})
	}
}

// listen makes the latest transport tell what is set.
func listen(r *rig) *string {
	told := new(string)
	tr := r.peer().Transport
	say := func(format string, args ...any) error { *told = fmt.Sprintf(format, args...); return nil }
	tr.SetNoDelayFunc = func(on bool) error { return say("nodelay %v", on) }
	tr.SetKeepAliveFunc = func(on bool, idle, interval time.Duration, count int) error {
		return say("keepalive %v %v %v %d", on, idle, interval, count)
	}
	tr.SetMaxSegmentFunc = func(n int) error { return say("segment %d", n) }
	tr.SetV6OnlyFunc = func(on bool) error { return say("v6only %v", on) }
	tr.SetReceiveBufferFunc = func(n int) error { return say("receive %d", n) }
	tr.SetSendBufferFunc = func(n int) error { return say("send %d", n) }
	tr.MaxSegmentFunc = func() (int, error) { return 1460, nil }
	tr.ReceiveBufferFunc = func() (int, error) { return 131072, nil }
	tr.SendBufferFunc = func() (int, error) { return 16384, nil }
	return told
}

func TestOptionRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.socket(wsk.FlagConnectionSocket)
		control := func(want ntstatus.Status, what wsk.ControlType, code, level uint32) {
			t.Helper()
			q := newRequest()
			q.inline(t, s.ControlSocket(what, code, level, le(1), make([]byte, 4), nil, q.IRP), want)
		}
		control(ntstatus.NotSupported, wsk.SetOption, 23, wsk.IPPROTO_TCP)                           // Linux' number for TCP_FASTOPEN
		control(ntstatus.NotSupported, wsk.SetOption, wsk.TCP_FASTOPEN, 0)                           // wrong level
		control(ntstatus.NotSupported, wsk.SetOption, wsk.SO_TYPE, wsk.SOL_SOCKET)                   // read only
		control(ntstatus.InvalidParameter, wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, wsk.SOL_SOCKET) // too short
		control(ntstatus.NotSupported, wsk.SetOption, wsk.SO_CONDITIONAL_ACCEPT, wsk.SOL_SOCKET)
		control(ntstatus.NotSupported, wsk.SetOption, wsk.SO_WSK_SECURITY, wsk.SOL_SOCKET)
		control(ntstatus.NotSupported, wsk.SetOption, wsk.IPV6_V6ONLY, wsk.IPPROTO_IPV6) // an IPv4 socket
		control(ntstatus.NotSupported, wsk.Ioctl, 0x4004667F, 0)                         // FIONREAD
		control(ntstatus.InvalidParameter, 3, wsk.TCP_NODELAY, wsk.IPPROTO_TCP)
		control(ntstatus.InvalidParameter, wsk.Ioctl, wsk.SIO_WSK_REGISTER_EXTENSION, 0) // no IRP allowed
		returned := uint64(9)
		if got := s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_REGISTER_EXTENSION, 0, nil, nil, &returned, nil); got != ntstatus.NotSupported || returned != 0 {
			t.Errorf("register extension: %v, %d", got, returned)
		}
		if got := s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, nil, nil, nil); got != ntstatus.InvalidDeviceRequest {
			t.Errorf("query inspect id: %v", got)
		}
		var none *wsk.ConnectionSocket
		if got := none.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, nil, nil, nil); got != ntstatus.InvalidParameter {
			t.Errorf("on no socket: %v", got)
		}
		r.peer().Transport.SetNoDelayFunc = func(bool) error { return syscall.EINVAL }
		control(ntstatus.InvalidParameter, wsk.SetOption, wsk.TCP_NODELAY, wsk.IPPROTO_TCP)
		q, out := newRequest(), make([]byte, 4)
		q.pends(t, s.ControlSocket(wsk.GetOption, wsk.TCP_NODELAY, wsk.IPPROTO_TCP, nil, out, nil, q.IRP)).ends(t, ntstatus.Success, 4)
		if out[0] != 0 {
			t.Error("an option that the transport refused was kept")
		}
		q = newRequest()
		q.pends(t, s.ControlSocket(wsk.GetOption, wsk.SO_TYPE, wsk.SOL_SOCKET, nil, out, nil, q.IRP)).ends(t, ntstatus.Success, 4)
		if out[0] != 1 {
			t.Errorf("SO_TYPE % x", out)
		}
		r.close(s)
		if got := s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, nil, nil, nil); got != ntstatus.FileForcedClosed {
			t.Errorf("after close: %v", got)
		}
	})
}

// TestOptionsSurviveRetry has the transport of a second attempt set up like the
// first.
func TestOptionsSurviveRetry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.bound()
		first := r.peer()
		for _, o := range [][2]uint32{{wsk.TCP_NODELAY, 6}, {wsk.SO_KEEPALIVE, 0xFFFF}, {wsk.TCP_FASTOPEN, 6}} {
			q := newRequest()
			q.pends(t, s.ControlSocket(wsk.SetOption, o[0], o[1], le(1), nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		}
		q := newRequest()
		q.pends(t, s.Connect(&server4, 0, q.IRP))
		first.Refuse(syscall.ECONNREFUSED)
		q.ends(t, ntstatus.ConnectionRefused, 0)
		q = newRequest()
		q.pends(t, s.Connect(&server4, 0, q.IRP))
		if !r.peer().Seen().Options.FastOpen {
			t.Error("TCP_FASTOPEN was forgotten")
		}
		r.peer().Accept()
		q.ends(t, ntstatus.Success, 0)
		r.close(s)
	})
}
