package wsk_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// sharer is what every socket with an address has.
type sharer interface {
	closer
	Bind(a *wsk.SockAddr, flags uint32, i *irp.IRP) ntstatus.Status
}

// shareKinds are the columns and rows of the table, in its order.
var shareKinds = []struct {
	name   string
	option uint32
	wild   bool
}{
	{"default W", 0, true}, {"default S", 0, false},
	{"REUSE W", wsk.SO_REUSEADDR, true}, {"REUSE S", wsk.SO_REUSEADDR, false},
	{"EXCL W", wsk.SO_EXCLUSIVEADDRUSE, true}, {"EXCL S", wsk.SO_EXCLUSIVEADDRUSE, false},
}

// shareCell is the cell of a second bind (row) after a first (column): o
// STATUS_SUCCESS, i in use, d denied, c denied by the default security descriptor.
func shareCell(second, first int) byte {
	rows := []string{
		"ioioio", // default W
		"cicddi", // default S
		"dooodo", // REUSE W
		"cdoodd", // REUSE S
		"iiiiii", // EXCL W
		"cicidi", // EXCL S
	}
	return rows[second][first]
}

// TestSharingUntilTheLast closes the sockets that share an address, from the middle: it is
// taken until the last has gone.
func TestSharingUntilTheLast(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		bind := func(option uint32, want ntstatus.Status) sharer {
			s := r.make(wsk.AF_INET, wsk.FlagConnectionSocket, nil).(sharer)
			set(t, s, wsk.SOL_SOCKET, option, 1)
			local, q := server4, newRequest()
			if got := s.Bind(&local, 0, q.IRP); want == ntstatus.Success {
				q.pends(t, got).ends(t, want, 0)
			} else if got != want {
				t.Errorf("bound: %v, want %v", got, want)
			}
			return s
		}
		shared := make([]sharer, 3)
		for i := range shared {
			shared[i] = bind(wsk.SO_REUSEADDR, ntstatus.Success)
		}
		for _, i := range []int{1, 2, 0} {
			r.close(bind(wsk.SO_EXCLUSIVEADDRUSE, ntstatus.AddressAlreadyExists))
			r.close(shared[i])
		}
		r.close(bind(wsk.SO_EXCLUSIVEADDRUSE, ntstatus.Success))
	})
}

// TestSharing walks every cell of the table of second binds, with TCP and UDP.
func TestSharing(t *testing.T) {
	for second, b := range shareKinds {
		for first, a := range shareKinds {
			for _, udp := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s after %s, UDP %v", b.name, a.name, udp), func(t *testing.T) {
					bubble(t, func(t *testing.T, r *rig) {
						make := func(option uint32) sharer {
							var s sharer
							if udp {
								s = r.datagram(wsk.AF_INET, nil)
							} else {
								s = r.make(wsk.AF_INET, wsk.FlagConnectionSocket, nil).(sharer)
							}
							if option != 0 {
								set(t, s, wsk.SOL_SOCKET, option, 1)
							}
							return s
						}
						at := func(wild bool) *wsk.SockAddr {
							local := wsk.SockAddr{Family: wsk.AF_INET, Port: 80}
							if !wild {
								local = server4
							}
							return &local
						}
						one, two := make(a.option), make(b.option)
						q := newRequest()
						q.pends(t, one.Bind(at(a.wild), 0, q.IRP)).ends(t, ntstatus.Success, 0)
						q = newRequest()
						got := two.Bind(at(b.wild), 0, q.IRP)
						want := shareCell(second, first)
						switch want {
						case 'o':
							q.pends(t, got).ends(t, ntstatus.Success, 0)
						case 'i':
							q.inline(t, got, ntstatus.AddressAlreadyExists)
						default:
							q.inline(t, got, ntstatus.AccessDenied)
						}
						r.close(one)
						if want != 'o' { // the place is free
							q = newRequest()
							q.pends(t, two.Bind(at(b.wild), 0, q.IRP)).ends(t, ntstatus.Success, 0)
						}
						r.close(two)
					})
				})
			}
		}
	}
}

// TestSharingPlaces has binds that do not meet, and some that do.
func TestSharingPlaces(t *testing.T) {
	at := func(s string) wsk.SockAddr { return wsk.SockAddrFrom(netip.MustParseAddrPort(s)) }
	mapped := at("[::ffff:192.0.2.1]:80")
	for _, tt := range []struct {
		name        string
		one, two    wsk.SockAddr
		dual1, dual bool
		udp2        bool
		clash       bool
	}{
		{"two addresses", server4, at("192.0.2.2:80"), false, false, false, false},
		{"two ports", server4, at("192.0.2.1:81"), false, false, false, false},
		{"two protocols", server4, server4, false, false, true, false},
		{"two families", at("0.0.0.0:80"), at("[::]:80"), false, false, false, false},
		{"both families and one", at("0.0.0.0:80"), at("[::]:80"), false, true, false, true},
		{"both families and an address", server4, at("[::]:80"), false, true, false, false}, // W after S is fine
		{"an address and both families", at("[::]:80"), server4, true, false, false, true},
		{"IPv4 in IPv6's clothes", server4, mapped, false, true, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				make := func(a wsk.SockAddr, dual, udp bool) sharer {
					var s sharer
					if udp {
						s = r.datagram(a.Family, nil)
					} else {
						s = r.make(a.Family, wsk.FlagConnectionSocket, nil).(sharer)
					}
					if dual {
						set(t, s, wsk.IPPROTO_IPV6, wsk.IPV6_V6ONLY, 0)
					}
					return s
				}
				one, two := make(tt.one, tt.dual1, false), make(tt.two, tt.dual, tt.udp2)
				q := newRequest()
				q.pends(t, one.Bind(&tt.one, 0, q.IRP)).ends(t, ntstatus.Success, 0)
				q = newRequest()
				if got := two.Bind(&tt.two, 0, q.IRP); (got != ntstatus.Pending) != tt.clash {
					t.Errorf("answers %v", got)
				}
				r.close(one)
				r.close(two)
			})
		})
	}
}

// TestSharingOptions: either option excludes the other, and both come before Bind.
func TestSharingOptions(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for _, o := range [][2]uint32{{wsk.SO_REUSEADDR, wsk.SO_EXCLUSIVEADDRUSE}, {wsk.SO_EXCLUSIVEADDRUSE, wsk.SO_REUSEADDR}} {
			s := r.datagram(wsk.AF_INET, nil)
			set(t, s, wsk.SOL_SOCKET, o[0], 1)
			q := newRequest()
			q.inline(t, s.ControlSocket(wsk.SetOption, o[1], wsk.SOL_SOCKET, le(1), nil, nil, q.IRP), ntstatus.InvalidParameter)
			set(t, s, wsk.SOL_SOCKET, o[1], 0)
			q = newRequest()
			q.pends(t, s.Bind(&server4, 0, q.IRP)).ends(t, ntstatus.Success, 0)
			q = newRequest()
			q.inline(t, s.ControlSocket(wsk.SetOption, o[0], wsk.SOL_SOCKET, le(0), nil, nil, q.IRP), ntstatus.InvalidDeviceState)
			r.close(s)
		}
	})
}

// TestSharingConnections: two sockets that share a port cannot have the same peer,
// until one of them has given up.
func TestSharingConnections(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		make := func() socket {
			s := r.socket(wsk.FlagConnectionSocket)
			set(t, s, wsk.SOL_SOCKET, wsk.SO_REUSEADDR, 1)
			q := newRequest()
			q.pends(t, s.Bind(&wsk.SockAddr{Family: wsk.AF_INET, Port: 1000}, 0, q.IRP)).ends(t, ntstatus.Success, 0)
			return s
		}
		one := make()
		first := r.peer()
		two := make()
		q := newRequest()
		q.pends(t, one.Connect(&server4, 0, q.IRP)).open(t)
		again := newRequest()
		again.inline(t, two.Connect(&server4, 0, again.IRP), ntstatus.AddressAlreadyExists)
		first.Refuse(errTest)
		q.ends(t, ntstatus.Unsuccessful, 0)
		again = newRequest()
		again.pends(t, two.Connect(&server4, 0, again.IRP)).open(t)
		r.close(one)
		r.close(two)
		again.ends(t, ntstatus.Cancelled, 0)
	})
}
