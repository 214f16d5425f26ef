package wsk_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"go/ast"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// TestDispatchTables has each category's type have the functions of its dispatch table
// and no other, so that what Windows has no slot for does not compile.
func TestDispatchTables(t *testing.T) {
	types := []reflect.Type{
		reflect.TypeFor[*wsk.ProviderDispatch](), reflect.TypeFor[*wsk.BasicSocket](), reflect.TypeFor[*wsk.ListenSocket](),
		reflect.TypeFor[*wsk.DatagramSocket](), reflect.TypeFor[*wsk.ConnectionSocket](), reflect.TypeFor[*wsk.StreamSocket](),
		reflect.TypeFor[*wsk.Registration](),
	}
	// A limit to Deregister, which Windows has not.
	ours := map[string]bool{"Registration.DeregisterContext": true}
	if len(types) != len(dispatchTables) {
		t.Fatal("a table is missing")
	}
	for _, typ := range types {
		name := typ.Elem().Name()
		var got []string
		for k := range typ.NumMethod() {
			if m := typ.Method(k).Name; !inside[m] && !ours[name+"."+m] {
				got = append(got, m)
			}
		}
		want := slices.Sorted(slices.Values(dispatchTables[name]))
		if !slices.Equal(got, want) {
			t.Errorf("%s has %v, its table %v", name, got, want)
		}
	}
}

// tried is a socket for an option.
func (r *rig) tried(on string) closer {
	switch on {
	case atUDP:
		return r.datagram(wsk.AF_INET, nil)
	case atUDP6:
		return r.datagram(wsk.AF_INET6, nil)
	case atTCP6:
		return r.make(wsk.AF_INET6, wsk.FlagStreamSocket, nil)
	case atListening:
		s := r.make(wsk.AF_INET, wsk.FlagListenSocket, inspecting())
		r.peer().Transport.SetInspectFunc = func(bool) error { return nil }
		return s
	}
	return r.make(wsk.AF_INET, wsk.FlagStreamSocket, nil)
}

// TestListedOptions sets and gets every option of the list that works, and has every
// other refused, on all kinds of sockets.
func TestListedOptions(t *testing.T) {
	kinds := []string{atTCP, atTCP6, atListening, atUDP, atUDP6}
	for _, o := range listedOptions {
		t.Run(o.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				on := kinds
				if o.on != "" {
					on = []string{o.on}
				}
				for _, k := range on {
					s := r.tried(k)
					r.tryOption(s, o)
					r.close(s)
				}
			})
		})
	}
}

func (r *rig) tryOption(s closer, o anOption) {
	t := r.t
	t.Helper()
	get := func() (uint32, *request, ntstatus.Status) {
		out, q := make([]byte, 4), newRequest()
		st := s.ControlSocket(wsk.GetOption, o.code, o.level, nil, out, nil, q.IRP)
		synctest.Wait()
		return binary.LittleEndian.Uint32(out), q, st
	}
	setTo := func(v uint32) (*request, ntstatus.Status) {
		q := newRequest()
		return q, s.ControlSocket(wsk.SetOption, o.code, o.level, le(v), nil, nil, q.IRP)
	}
	if o.on == "" {
		_, q, st := get()
		q.inline(t, st, ntstatus.NotSupported)
		q, st = setTo(1)
		q.inline(t, st, ntstatus.NotSupported)
		return
	}
	_, q, st := get()
	q.pends(t, st).ends(t, ntstatus.Success, 4)
	if o.value == 0 {
		q, st = setTo(1)
		q.inline(t, st, ntstatus.NotSupported)
		return
	}
	q, st = setTo(o.value)
	q.pends(t, st).ends(t, ntstatus.Success, 0)
	v, q, st := get()
	if q.pends(t, st).ends(t, ntstatus.Success, 4); v != o.value && o.name != "TCP_MAXRT" {
		t.Errorf("%s is %d, want %d", o.name, v, o.value)
	}
}

// TestListedIoctls has every ioctl of the list that is refused refused, and tries the
// others.
func TestListedIoctls(t *testing.T) {
	for _, c := range listedIoctls {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				s := closer(nil)
				if c.on == "bound UDP" {
					s, _ = r.post(nil)
				} else {
					connected, _ := r.connected()
					s = connected.(closer)
				}
				out := make([]byte, 100)
				if c.bare {
					st := s.ControlSocket(wsk.Ioctl, c.code, 0, c.input, out, nil, nil)
					if want := c.status; c.on != "" && st != ntstatus.Success || want != 0 && st != want {
						t.Errorf("answers %v", st)
					}
					q := newRequest() // which it takes none of
					q.inline(t, s.ControlSocket(wsk.Ioctl, c.code, 0, c.input, out, nil, q.IRP), ntstatus.InvalidParameter)
				} else {
					q := newRequest()
					st := s.ControlSocket(wsk.Ioctl, c.code, 0, c.input, out, nil, q.IRP)
					synctest.Wait()
					switch {
					case c.status != 0:
						q.inline(t, st, c.status)
					case c.on != "":
						if _, _, got := q.snapshot(); st != ntstatus.Pending || got.Status != ntstatus.Success {
							t.Errorf("answers %v, completes with %v", st, got.Status)
						}
					}
					if st := s.ControlSocket(wsk.Ioctl, c.code, 0, c.input, out, nil, nil); st != ntstatus.InvalidParameter {
						t.Errorf("without an IRP: %v", st)
					}
				}
				r.close(s)
			})
		})
	}
}

// TestListedCodes calls WskControlClient with every code.
func TestListedCodes(t *testing.T) {
	for _, c := range listedCodes {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				size := uint64(0)
				st := r.npi.Dispatch.ControlClient(r.npi.Client, c.code, c.input, make([]byte, 1000), &size, nil)
				if st != c.status {
					t.Errorf("answers %v, want %v", st, c.status)
				}
			})
		})
	}
}

// TestFunctionsPage keeps FUNCTIONS.md the same as the lists, the lists the same as the
// provider's own tables, and has the tests that they name exist.
func TestFunctionsPage(t *testing.T) {
	keepPage(t, "FUNCTIONS.md", functionsPage())
	tests := map[string]bool{"": true}
	for _, pattern := range []string{"*_test.go", "onstack/*_test.go"} {
		for _, f := range parse(t, pattern) {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					tests[fn.Name.Name] = true
				}
			}
		}
	}
	options := slices.Concat(listedOptions, specialOptions)
	for _, o := range options {
		if !tests[o.test] || o.on == "" && o.why == "" {
			t.Errorf("%s: test %q, works on %q, refused because %q", o.name, o.test, o.on, o.why)
		}
	}
	for _, own := range wsk.OwnOptions() {
		if !slices.ContainsFunc(options, func(o anOption) bool { return o.level == own[0] && o.code == own[1] && o.on != "" }) {
			t.Errorf("option %#x at level %d works and is not listed", own[1], own[0])
		}
	}
	for _, code := range wsk.OwnIoctls() {
		if !slices.ContainsFunc(listedIoctls, func(c anIoctl) bool { return c.code == code }) {
			t.Errorf("ioctl %#x is not listed", code)
		}
	}
	for _, f := range listedFunctions {
		if !tests[f.test] || f.test == "" {
			t.Errorf("%s: there is no test %s", f.name, f.test)
		}
	}
	for _, c := range listedIoctls {
		if !tests[c.test] || c.status == 0 && c.test == "" {
			t.Errorf("%s: there is no test %s", c.name, c.test)
		}
	}
	for _, c := range listedCodes {
		if !tests[c.test] {
			t.Errorf("%s: there is no test %s", c.name, c.test)
		}
	}
	for table, names := range dispatchTables {
		for _, n := range names {
			if !slices.ContainsFunc(listedFunctions, func(f aFunction) bool { return strings.HasPrefix(f.name, "Wsk"+n) }) {
				t.Errorf("Wsk%s of %s is not listed", n, table)
			}
		}
	}
}

func functionsPage() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from the lists in functions_data_test.go; do not edit. go test ./wsk -run TestFunctionsPage -wsk.update -->

# Functions, options, ioctls and codes

All of WSK 1.0 through Windows 10 1703 and later, what becomes of it here, and the test that shows it. The tests are in this
directory and in onstack/. TestListedOptions, TestListedIoctls and TestListedCodes try every row of theirs: what works is set and got,
what is refused answers its status.

## Functions and callbacks

`)
	rows := [][]string{}
	for _, f := range listedFunctions {
		state := "works"
		if f.why != "" {
			state = "not here"
		}
		rows = append(rows, []string{f.name, state, f.test, f.why})
	}
	pageTable(&b, []string{"Function", "State", "Test", "Why not"}, rows)
	b.WriteString("\n## Options\n\nA refused option answers STATUS_NOT_SUPPORTED to get and set on every socket; so does one that is not here, and one that works\non a socket of another kind.\n\n")
	rows = nil
	for _, o := range slices.Concat(listedOptions, specialOptions) {
		state, test := "works", o.test
		switch {
		case o.on == "":
			state = "refused"
		case o.value == 0 && o.test == "":
			state = "read only"
		}
		if test == "" {
			test = "TestListedOptions"
		}
		rows = append(rows, []string{o.name, fmt.Sprint(o.level), fmt.Sprintf("%#x", o.code), state, test, o.why})
	}
	pageTable(&b, []string{"Option", "Level", "Code", "State", "Test", "Note"}, rows)
	b.WriteString("\n## Ioctls\n\n")
	rows = nil
	for _, c := range listedIoctls {
		rows = append(rows, []string{c.name, fmt.Sprintf("%#x", c.code), listedState(c.status), named(c.test, "TestListedIoctls"), c.why})
	}
	rows = append(rows, []string{"SIO_WSK_SET_RECEIVE_EX_CALLBACK", "", "STATUS_NOT_SUPPORTED", "TestOptionRefusals",
		"its number is in no header that is public; every unknown number is refused like that"})
	pageTable(&b, []string{"Ioctl", "Code", "State", "Test", "Note"}, rows)
	b.WriteString("\n## Codes of WskControlClient\n\n")
	rows = nil
	for _, c := range listedCodes {
		state := listedState(c.status)
		if strings.HasPrefix(c.why, "works") {
			state = "works"
		}
		rows = append(rows, []string{c.name, fmt.Sprint(c.code), state, named(c.test, "TestListedCodes"), c.why})
	}
	pageTable(&b, []string{"Code", "Number", "State", "Test", "Note"}, rows)
	return b.String()
}

func listedState(refusal ntstatus.Status) string {
	if refusal == ntstatus.Success {
		return "works"
	}
	return refusal.String()
}

func named(test, other string) string {
	if test == "" {
		return other
	}
	return test
}

// TestExtended sends and receives with the two reserved functions.
func TestExtended(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		plain, peer := r.connected()
		s := plain.(*wsk.ConnectionSocket)
		q := newRequest()
		q.pends(t, s.SendEx(wsk.NewBuf([]byte("hello")), 0, nil, q.IRP)).open(t)
		peer.AckAll()
		q.ends(t, ntstatus.Success, 5)
		q, buf, length := newRequest(), make([]byte, 8), uint32(9)
		q.pends(t, s.ReceiveEx(wsk.NewBuf(buf), 0, &length, make([]byte, 9), nil, q.IRP)).open(t)
		peer.Deliver([]byte("world"))
		q.ends(t, ntstatus.Success, 5)
		if string(buf[:5]) != "world" || length != 0 {
			t.Errorf("%q, %d bytes of control information", buf, length)
		}
		r.close(s)
	})
}

// TestKeepAliveValues is SIO_KEEPALIVE_VALS, and what it refuses.
func TestKeepAliveValues(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.socketOf(wsk.AF_INET6, wsk.FlagStreamSocket)
		told := listen(r)
		values := func(v ...uint32) []byte {
			var b []byte
			for _, x := range v {
				b = append(b, le(x)...)
			}
			return b
		}
		for _, tt := range []struct {
			in   []byte
			want ntstatus.Status
			told string
		}{
			{values(1, 1500, 250), ntstatus.Success, "keepalive true 1.5s 250ms 10"},
			{values(1, 0, 250), ntstatus.InvalidParameter, ""},
			{values(1, 1, 0), ntstatus.InvalidParameter, ""},
			{values(1, 0xFFFFFFFF, 250), ntstatus.InvalidParameter, ""},
			{values(1, 1), ntstatus.InvalidParameter, ""},
			{values(0, 0, 0), ntstatus.Success, "keepalive false 1.5s 250ms 10"},
		} {
			*told = ""
			q := newRequest()
			got := s.ControlSocket(wsk.Ioctl, wsk.SIO_KEEPALIVE_VALS, 0, tt.in, nil, nil, q.IRP)
			if tt.want == ntstatus.Success {
				q.pends(t, got).ends(t, ntstatus.Success, 0)
			} else {
				q.inline(t, got, tt.want)
			}
			if *told != tt.told {
				t.Errorf("% x: the transport was told %q, want %q", tt.in, *told, tt.told)
			}
		}
		d := r.datagram(wsk.AF_INET, nil)
		q := newRequest()
		q.inline(t, d.ControlSocket(wsk.Ioctl, wsk.SIO_KEEPALIVE_VALS, 0, values(1, 1, 1), nil, nil, q.IRP), ntstatus.NotSupported)
		q = newRequest()
		q.inline(t, d.ControlSocket(wsk.Ioctl, wsk.SIO_LOOPBACK_FAST_PATH, 0, nil, nil, nil, q.IRP), ntstatus.InvalidBufferSize)
		r.close(d)
		r.close(s)
	})
}

// TestAddressList asks for the network's addresses, of the socket's family.
func TestAddressList(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		out, size := make([]byte, 20), uint64(0)
		query := func(s closer, out []byte) ntstatus.Status {
			return s.ControlSocket(wsk.Ioctl, wsk.SIO_ADDRESS_LIST_QUERY, 0, nil, out, &size, nil)
		}
		s := r.make(wsk.AF_INET, wsk.FlagBasicSocket, nil)
		if st := query(s, out[:19]); st != ntstatus.BufferOverflow || size != 20 {
			t.Errorf("too small: %v, needs %d", st, size)
		}
		own := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.99:0"))
		if st := query(s, out); st != ntstatus.Success || size != 20 || !bytes.Equal(out, append(le(1), own.Bytes()...)) {
			t.Errorf("%v, %d bytes: % x", st, size, out)
		}
		v6 := r.make(wsk.AF_INET6, wsk.FlagBasicSocket, nil)
		if st := query(v6, out); st != ntstatus.Success || size != 4 || out[0] != 0 {
			t.Errorf("%v, %d bytes: % x", st, size, out)
		}
		r.close(s)
		r.close(v6)
	})
}

// awaitAddresses waits for the network's addresses to change.
func (r *rig) awaitAddresses(s closer) *request {
	r.t.Helper()
	q := newRequest()
	q.pends(r.t, s.ControlSocket(wsk.Ioctl, wsk.SIO_ADDRESS_LIST_CHANGE, 0, nil, nil, nil, q.IRP)).open(r.t)
	return q
}

// TestAddressListChange has a wait outlive the connection of its socket, aborted from
// either side, and stand in nobody's way.
func TestAddressListChange(t *testing.T) {
	for _, end := range []wsk.End{wsk.EndBroken, wsk.EndAborted} {
		bubble(t, func(t *testing.T, r *rig) {
			s, peer := r.connected()
			wait, receive := r.awaitAddresses(s.(closer)), newRequest()
			receive.pends(t, s.Receive(wsk.NewBuf(make([]byte, 4)), 0, receive.IRP)).open(t)
			peer.Deliver([]byte("data"))
			receive.ends(t, ntstatus.Success, 4)
			r.bring(s.(closer), end)
			wait.open(t)
			wait.Cancel()
			synctest.Wait()
			wait.ends(t, ntstatus.Cancelled, 0)
			r.close(s.(closer))
		})
	}
}

// TestRetransmitLimit has both options tell the transport and the connect.
func TestRetransmitLimit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		s := r.bound()
		var told time.Duration
		r.peer().Transport.SetRetransmitLimitFunc = func(d time.Duration) error { told = d; return nil }
		set(t, s.(closer), wsk.IPPROTO_TCP, wsk.TCP_MAXRT, 20)
		if told != 20*time.Second {
			t.Errorf("told %v", told)
		}
		set(t, s.(closer), wsk.IPPROTO_TCP, wsk.TCP_MAXRTMS, 1500)
		q := newRequest()
		q.pends(t, s.Connect(&server4, 0, q.IRP)).open(t)
		if got := r.peer().Seen().Options.Timeout; told != 1500*time.Millisecond || got != told {
			t.Errorf("told %v, the connect %v", told, got)
		}
		out := make([]byte, 4)
		q = newRequest()
		q.pends(t, s.ControlSocket(wsk.GetOption, wsk.TCP_MAXRT, wsk.IPPROTO_TCP, nil, out, nil, q.IRP)).ends(t, ntstatus.Success, 4)
		if out[0] != 2 {
			t.Errorf("%d seconds, want 2: rounded up", out[0])
		}
		r.close(s)
	})
}

// TestMembership joins and leaves groups, and has what is refused.
func TestMembership(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		v4, v6 := []byte{239, 1, 2, 3, 0, 0, 0, 0}, append([]byte{0xff, 2, 15: 9}, 0, 0, 0, 0)
		for _, tt := range []struct {
			family uint16
			level  uint32
			in     []byte
			want   ntstatus.Status
			told   string
		}{
			{wsk.AF_INET, wsk.IPPROTO_IP, v4, ntstatus.Success, "239.1.2.3"},
			{wsk.AF_INET, wsk.IPPROTO_IP, []byte{239, 1, 2, 3, 192, 0, 2, 99}, ntstatus.Success, "239.1.2.3"}, // by the interface's address
			{wsk.AF_INET, wsk.IPPROTO_IP, []byte{239, 1, 2, 3, 192, 0, 2, 9}, ntstatus.InvalidAddressComponent, ""},
			{wsk.AF_INET, wsk.IPPROTO_IP, []byte{192, 0, 2, 1, 0, 0, 0, 0}, ntstatus.InvalidAddressComponent, ""},
			{wsk.AF_INET, wsk.IPPROTO_IP, v4[:7], ntstatus.InvalidParameter, ""},
			{wsk.AF_INET, wsk.IPPROTO_IPV6, v6, ntstatus.NotSupported, ""},
			{wsk.AF_INET6, wsk.IPPROTO_IPV6, v6, ntstatus.Success, "ff02::9"},
			{wsk.AF_INET6, wsk.IPPROTO_IPV6, append(slices.Clone(v6[:16]), 2, 0, 0, 0), ntstatus.InvalidAddressComponent, ""},
			{wsk.AF_INET6, wsk.IPPROTO_IPV6, v6[:19], ntstatus.InvalidParameter, ""},
			{wsk.AF_INET6, wsk.IPPROTO_IP, v4, ntstatus.NotSupported, ""},
		} {
			for code, verb := range map[uint32]string{wsk.IP_ADD_MEMBERSHIP: "join ", wsk.IP_DROP_MEMBERSHIP: "leave "} {
				s := r.datagram(tt.family, nil)
				box := r.boxes[len(r.boxes)-1]
				q := newRequest()
				got := s.ControlSocket(wsk.SetOption, code, tt.level, tt.in, nil, nil, q.IRP)
				if tt.want != ntstatus.Success {
					q.inline(t, got, tt.want)
				} else {
					q.pends(t, got).ends(t, ntstatus.Success, 0)
				}
				if told, _, _ := box.Told(); tt.told != "" && !slices.Contains(told, verb+tt.told) {
					t.Errorf("told %v, want %s", told, verb+tt.told)
				}
				q = newRequest()
				q.inline(t, s.ControlSocket(wsk.GetOption, code, tt.level, nil, make([]byte, 4), nil, q.IRP), ntstatus.NotSupported)
				r.close(s)
			}
		}
		s := r.make(wsk.AF_INET, wsk.FlagStreamSocket, nil)
		q := newRequest()
		q.inline(t, s.ControlSocket(wsk.SetOption, wsk.IP_ADD_MEMBERSHIP, wsk.IPPROTO_IP, v4, nil, nil, q.IRP), ntstatus.NotSupported)
		r.close(s)
	})
}

// TestRawSocket has a raw socket over a network that makes them, and over one that
// does not.
func TestRawSocket(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		q := newRequest()
		q.inline(t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET, wsk.SOCK_RAW, wsk.IPPROTO_ICMP, wsk.FlagDatagramSocket, nil, nil, q.IRP), ntstatus.NotSupported)
		box := &wsktest.Mailbox{}
		r.raw = func(v6 bool, protocol uint8) (wsk.Datagram, error) {
			if !v6 || protocol != 58 {
				t.Errorf("asked for protocol %d, IPv6 %v", protocol, v6)
			}
			return box, nil
		}
		q = newRequest()
		q.pends(t, r.npi.Dispatch.Socket(r.npi.Client, wsk.AF_INET6, wsk.SOCK_RAW, wsk.IPPROTO_ICMPV6, wsk.FlagDatagramSocket, nil, nil, q.IRP)).ends(t, ntstatus.Success, 0)
		s := q.result.Object.(*wsk.DatagramSocket)
		q = newRequest()
		q.pends(t, s.Bind(&wildcard6, 0, q.IRP)).ends(t, ntstatus.Success, 0)
		bare := server6
		bare.Port = 0
		for _, to := range []*wsk.SockAddr{&server6, &bare} {
			q = newRequest()
			q.pends(t, s.SendTo(wsk.NewBuf([]byte("x")), 0, to, nil, q.IRP)).ends(t, ntstatus.Success, 1)
			if sent := box.Sent(); len(sent) != 1 || sent[0].To.Port() != 0 || sent[0].To.Addr() != server6.AddrPort().Addr() {
				t.Errorf("sent %v", sent)
			}
		}
		q = newRequest()
		q.inline(t, s.SendTo(wsk.NewBuf([]byte("x")), 0, &wildcard6, nil, q.IRP), ntstatus.InvalidAddressComponent)
		r.close(s)
	})
}
