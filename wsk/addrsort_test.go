package wsk_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// sockAddrs reads addresses, IPv4 as an AF_INET6 socket has it.
func sockAddrs(list string) (all []wsk.SockAddr) {
	for _, s := range strings.Fields(list) {
		a := netip.MustParseAddr(s)
		all = append(all, wsk.SockAddrFrom(netip.AddrPortFrom(netip.AddrFrom16(a.As16()), 0)))
	}
	return all
}

// TestDestinationOrder has the examples of RFC 6724 §10.2 that need no preference of the
// host's, and a few more, from either order of the list.
func TestDestinationOrder(t *testing.T) {
	for name, tt := range map[string]struct{ own, first, then string }{
		"matching scope":                           {"2001:db8:1::2 fe80::1 169.254.13.78", "2001:db8:1::1", "198.51.100.121"},
		"matching scope, IPv4":                     {"fe80::1 198.51.100.117", "198.51.100.121", "2001:db8:1::1"},
		"higher precedence":                        {"2001:db8:1::2 fe80::1 10.1.2.4", "2001:db8:1::1", "10.1.2.3"},
		"smaller scope":                            {"2001:db8:1::2 fe80::2", "fe80::1", "2001:db8:1::1"},
		"longest matching prefix":                  {"2001:db8:1::2 2001:db8:3f44::2 fe80::2", "2001:db8:1::1", "2001:db8:3ffe::1"},
		"matching label":                           {"2002:c633:6401::2 fe80::2", "2002:c633:6401::1", "2001:db8:1::1"},
		"higher precedence than 6to4":              {"2002:c633:6401::2 2001:db8:1::2 fe80::2", "2001:db8:1::1", "2002:c633:6401::1"},
		"one that cannot be reached":               {"192.0.2.1", "192.0.2.9", "2001:db8::1"},
		"loopback":                                 {"::1 2001:db8::2", "::1", "2001:db8::1"},
		"unique local after IPv4":                  {"fd00::2 192.0.2.1", "192.0.2.9", "fd01::1"},
		"site-local, whose label its own kind has": {"fec0::2 2001:db8::2", "2001:db8::1", "fec0::1"},
		"multicast of the link":                    {"fe80::2 2001:db8::2", "ff02::1", "2001:db8::1"},
	} {
		t.Run(name, func(t *testing.T) {
			var own []netip.Addr
			for _, s := range strings.Fields(tt.own) {
				own = append(own, netip.MustParseAddr(s))
			}
			want := sockAddrs(tt.first + " " + tt.then)
			for _, list := range [][]wsk.SockAddr{slices.Clone(want), {want[1], want[0]}} {
				wsk.SortDestinations(list, own)
				if !slices.Equal(list, want) {
					t.Errorf("got %v", list)
				}
			}
		})
	}
	// What no rule tells apart stays as it is, IPv4 whatever its prefix.
	for _, list := range []string{"192.0.2.200 192.0.2.3 192.0.2.99", "2001:db8:5::1 2001:db8:5::2"} {
		got := sockAddrs(list)
		wsk.SortDestinations(got, []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8:5::3")})
		if !slices.Equal(got, sockAddrs(list)) {
			t.Errorf("%s became %v", list, got)
		}
	}
}

func listOf(all ...wsk.SockAddr) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(all)))
	for _, s := range all {
		b = append(b, s.Bytes()...)
	}
	return b
}

// TestAddressListSort sorts through the ioctl; the network of the test has 192.0.2.99.
func TestAddressListSort(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		mixed := sockAddrs("2001:db8::1 192.0.2.1")
		four := wsk.SockAddrFrom(netip.MustParseAddrPort("192.0.2.1:7"))
		for name, tt := range map[string]struct {
			family  uint16
			in, out []byte
			room    int
			status  ntstatus.Status
		}{
			"what can be reached first": {wsk.AF_INET6, listOf(mixed...), listOf(mixed[1], mixed[0]), 100, 0},
			"one":                       {wsk.AF_INET, listOf(four), listOf(four), 20, 0},
			"none":                      {wsk.AF_INET, listOf(), listOf(), 4, 0},
			"room too small":            {wsk.AF_INET, listOf(four), nil, 19, ntstatus.BufferOverflow},
			"nothing":                   {wsk.AF_INET, nil, nil, 100, ntstatus.InvalidParameter},
			"another family":            {wsk.AF_INET, listOf(mixed...), nil, 100, ntstatus.InvalidParameter},
			"fewer than it says":        {wsk.AF_INET, listOf(four)[:19], nil, 100, ntstatus.InvalidParameter},
			"more than it says":         {wsk.AF_INET, append(listOf(four), 0), nil, 100, ntstatus.InvalidParameter},
			"a count that overflows":    {wsk.AF_INET, []byte{0xff, 0xff, 0xff, 0xff, 0}, nil, 100, ntstatus.InvalidParameter},
		} {
			s := r.make(tt.family, wsk.FlagBasicSocket, nil)
			out, q := make([]byte, tt.room), newRequest()
			st := s.ControlSocket(wsk.Ioctl, wsk.SIO_ADDRESS_LIST_SORT, 0, tt.in, out, nil, q.IRP)
			if tt.status != 0 {
				q.inline(t, st, tt.status)
			} else {
				synctest.Wait()
				q.pends(t, st).ends(t, ntstatus.Success, len(tt.out))
				if !slices.Equal(out[:len(tt.out)], tt.out) {
					t.Errorf("%s: % x, want % x", name, out, tt.out)
				}
			}
			r.close(s)
		}
	})
}
