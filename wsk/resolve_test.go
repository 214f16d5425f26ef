package wsk_test

import (
	"context"
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// book is a resolver that knows a few names; "slow" takes until it is cancelled.
type book struct{}

func (book) LookupHost(ctx context.Context, node string) ([]netip.Addr, string, error) {
	switch node {
	case "host":
		return []netip.Addr{server6.AddrPort().Addr(), server4.AddrPort().Addr()}, "host.example", nil
	case "plain":
		return []netip.Addr{server4.AddrPort().Addr()}, "", nil
	case "slow":
		<-ctx.Done()
		return nil, "", ctx.Err()
	case "late":
		return nil, "", context.DeadlineExceeded
	case "unreachable":
		return nil, "", syscall.ENETUNREACH
	case "broken":
		return nil, "", errTest
	}
	return nil, "", nil
}

func (book) LookupService(_ context.Context, network, service string) (uint16, error) {
	if service == "domain" {
		return map[string]uint16{"tcp": 53, "udp": 54}[network], nil
	}
	return 0, nil
}

func (book) LookupAddr(_ context.Context, a netip.Addr) (string, error) {
	if a == server4.AddrPort().Addr() {
		return "host.example", nil
	}
	return "", errTest
}

func TestGetAddressInfo(t *testing.T) {
	for _, tt := range []struct {
		name, node, service string
		hints               *wsk.AddrInfo
		status              ntstatus.Status
		want                string // the entries: type, protocol, address, canonical name
	}{
		{"both families", "host", "80", nil, 0, "1 6 [2001:db8::1]:80 ; 1 6 192.0.2.1:80 ; "},
		{"one family", "host", "", &wsk.AddrInfo{Family: wsk.AF_INET}, 0, "1 6 192.0.2.1:0 ; "},
		{"canonical", "host", "", &wsk.AddrInfo{Family: wsk.AF_INET, Flags: wsk.AI_CANONNAME}, 0, "1 6 192.0.2.1:0 host.example; "},
		{"its own name", "plain", "", &wsk.AddrInfo{Flags: wsk.AI_CANONNAME}, 0, "1 6 192.0.2.1:0 plain; "},
		{"a service of UDP", "plain", "domain", &wsk.AddrInfo{SockType: wsk.SOCK_DGRAM}, 0, "2 17 192.0.2.1:54 ; "},
		{"by the protocol", "plain", "domain", &wsk.AddrInfo{Protocol: wsk.IPPROTO_UDP}, 0, "2 17 192.0.2.1:54 ; "},
		{"numbers", "192.0.2.9", "7", &wsk.AddrInfo{Flags: wsk.AI_NUMERICHOST | wsk.AI_NUMERICSERV}, 0, "1 6 192.0.2.9:7 ; "},
		{"no node", "", "7", &wsk.AddrInfo{Family: wsk.AF_INET}, 0, "1 6 127.0.0.1:7 ; "},
		{"to listen", "", "7", &wsk.AddrInfo{Flags: wsk.AI_PASSIVE}, 0, "1 6 [::]:7 ; 1 6 0.0.0.0:7 ; "},
		{"no such name", "nobody", "", nil, ntstatus.NoMatch, ""},
		{"no such service", "host", "nothing", nil, ntstatus.NoMatch, ""},
		{"no address of the family", "plain", "", &wsk.AddrInfo{Family: wsk.AF_INET6}, ntstatus.NoMatch, ""},
		{"a name where a number is wanted", "host", "", &wsk.AddrInfo{Flags: wsk.AI_NUMERICHOST}, ntstatus.NoMatch, ""},
		{"a service where a number is wanted", "host", "domain", &wsk.AddrInfo{Flags: wsk.AI_NUMERICSERV}, ntstatus.NoMatch, ""},
		{"too late", "late", "", nil, ntstatus.IOTimeout, ""},
		{"unreachable", "unreachable", "", nil, ntstatus.NetworkUnreachable, ""},
		{"broken", "broken", "", nil, ntstatus.NoMatch, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.p.SetResolver(book{})
				var list *wsk.AddrInfo
				q := newRequest()
				q.pends(t, r.npi.Dispatch.GetAddressInfo(r.npi.Client, tt.node, tt.service, tt.hints, &list, q.IRP)).ends(t, tt.status, 0)
				got := ""
				for e := list; e != nil; e = e.Next {
					got += fmt.Sprintf("%d %d %v %s; ", e.SockType, e.Protocol, e.Addr, e.CanonName)
				}
				if got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				r.npi.Dispatch.FreeAddressInfo(r.npi.Client, list)
			})
		})
	}
}

func TestGetAddressInfoRefusals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var list *wsk.AddrInfo
		get := func(node string, hints *wsk.AddrInfo, result **wsk.AddrInfo, want ntstatus.Status) {
			t.Helper()
			q := newRequest()
			q.inline(t, r.npi.Dispatch.GetAddressInfo(r.npi.Client, node, "", hints, result, q.IRP), want)
		}
		get("", nil, &list, ntstatus.InvalidParameter)
		get("host", nil, nil, ntstatus.InvalidParameter)
		for _, bad := range []wsk.AddrInfo{
			{Flags: 0x800}, {Family: 7}, {SockType: wsk.SOCK_RAW}, {SockType: wsk.SOCK_STREAM, Protocol: wsk.IPPROTO_UDP},
			{CanonName: "x"}, {Next: &wsk.AddrInfo{}}, {Addr: server4},
		} {
			get("host", &bad, &list, ntstatus.InvalidParameter)
		}
		q := newRequest()
		q.inline(t, r.npi.Dispatch.GetAddressInfo(nil, "host", "", nil, &list, q.IRP), ntstatus.InvalidParameter)
		if st := r.npi.Dispatch.GetAddressInfo(r.npi.Client, "host", "", nil, &list, nil); st != ntstatus.InvalidParameter {
			t.Errorf("without an IRP: %v", st)
		}
		q = newRequest()
		q.Cancel()
		q.inline(t, r.npi.Dispatch.GetAddressInfo(r.npi.Client, "host", "", nil, &list, q.IRP), ntstatus.Cancelled)
		// Without a resolver there are numbers alone.
		for node, want := range map[string]ntstatus.Status{"192.0.2.1": ntstatus.Success, "host": ntstatus.NoMatch} {
			q := newRequest()
			q.pends(t, r.npi.Dispatch.GetAddressInfo(r.npi.Client, node, "", nil, &list, q.IRP)).ends(t, want, 0)
		}
		r.p.SetResolver(book{})
		q = newRequest()
		q.pends(t, r.npi.Dispatch.GetAddressInfo(r.npi.Client, "slow", "", nil, &list, q.IRP)).open(t)
		q.Cancel()
		q.ends(t, ntstatus.Cancelled, 0)
		r.p.Stop()
		get("host", nil, &list, ntstatus.DeviceNotReady)
	})
}

func TestGetNameInfo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var node, service string
		get := func(a *wsk.SockAddr, n, s *string, flags uint32) (*request, ntstatus.Status) {
			q := newRequest()
			return q, r.npi.Dispatch.GetNameInfo(r.npi.Client, a, n, s, flags, q.IRP)
		}
		for _, resolver := range []wsk.Resolver{nil, book{}} {
			r.p.SetResolver(resolver)
			for _, tt := range []struct {
				addr   wsk.SockAddr
				flags  uint32
				status ntstatus.Status
				want   string
			}{
				{server4, 0, 0, "host.example"},
				{server4, wsk.NI_NUMERICHOST, 0, "192.0.2.1"},
				{server6, 0, 0, "2001:db8::1"},
				{server6, wsk.NI_NAMEREQD, ntstatus.NoMatch, ""},
			} {
				want := tt.want
				if resolver == nil && tt.flags == 0 {
					want = tt.addr.AddrPort().Addr().String()
				}
				node, service = "", ""
				q, st := get(&tt.addr, &node, &service, tt.flags)
				q.pends(t, st).ends(t, tt.status, 0)
				if node != want || tt.status == 0 && service != "80" {
					t.Errorf("%v with flags %d: %q, %q; want %q", tt.addr, tt.flags, node, service, want)
				}
			}
		}
		q, st := get(&server4, nil, &service, 0)
		q.pends(t, st).ends(t, ntstatus.Success, 0)
		for _, bad := range []struct {
			a     *wsk.SockAddr
			n     *string
			flags uint32
		}{
			{nil, &node, 0}, {&wsk.SockAddr{}, &node, 0}, {&server4, nil, 0}, {&server4, &node, 0x100},
			{&server4, &node, wsk.NI_NAMEREQD | wsk.NI_NUMERICHOST},
		} {
			q, st := get(bad.a, bad.n, nil, bad.flags)
			q.inline(t, st, ntstatus.InvalidParameter)
		}
	})
}

// TestTransportList asks for the list and for its change.
func TestTransportList(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		query := func(out []byte) (ntstatus.Status, uint64) {
			size := uint64(99)
			return r.npi.Dispatch.ControlClient(r.npi.Client, wsk.TransportListQuery, nil, out, &size, nil), size
		}
		if st, size := query(nil); st != ntstatus.BufferOverflow || size != 56 {
			t.Errorf("%v, %d", st, size)
		}
		out := make([]byte, 60)
		st, size := query(out)
		want := fmt.Sprintf("%x", append(
			wsk.TransportEntry{Version: 0x100, SocketType: 1, Protocol: 6}.Bytes(),
			wsk.TransportEntry{Version: 0x100, SocketType: 2, Protocol: 17}.Bytes()...))
		if st != ntstatus.Success || fmt.Sprintf("%x", out[:size]) != want || len(want) != 112 {
			t.Errorf("%v: % x", st, out[:size])
		}
		if st := r.npi.Dispatch.ControlClient(r.npi.Client, wsk.TransportListQuery, nil, out, nil, nil); st != ntstatus.InvalidParameter {
			t.Errorf("without a size: %v", st)
		}
		change := func() *request {
			q := newRequest()
			return q.pends(t, r.npi.Dispatch.ControlClient(r.npi.Client, wsk.TransportListChange, nil, nil, nil, q.IRP))
		}
		if st := r.npi.Dispatch.ControlClient(r.npi.Client, wsk.TransportListChange, nil, nil, nil, nil); st != ntstatus.InvalidParameter {
			t.Errorf("a change without an IRP: %v", st)
		}
		if st := r.npi.Dispatch.ControlClient(nil, wsk.TransportListChange, nil, nil, nil, newRequest().IRP); st != ntstatus.InvalidParameter {
			t.Errorf("a change without a client: %v", st)
		}
		q := change()
		q.open(t)
		q.Cancel()
		q.ends(t, ntstatus.Cancelled, 0)
		q = change()
		q.open(t)
		r.p.Stop()
		q.ends(t, ntstatus.Success, 0)
		q = newRequest()
		q.inline(t, r.npi.Dispatch.ControlClient(r.npi.Client, wsk.TransportListChange, nil, nil, nil, q.IRP), ntstatus.DeviceNotReady)
		if st, _ := query(out); st != ntstatus.DeviceNotReady {
			t.Errorf("after Stop: %v", st)
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		q := newRequest()
		q.pends(t, r.npi.Dispatch.ControlClient(r.npi.Client, wsk.TransportListChange, nil, nil, nil, q.IRP)).open(t)
		r.reg.ReleaseProviderNPI()
		r.reg.Deregister() // cancels it and waits for it
		q.ends(t, ntstatus.Cancelled, 0)
	})
}
