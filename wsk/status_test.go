package wsk_test

import (
	"fmt"
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

// A provocation is one reason for one status of one function.
type provocation struct {
	function string // as the method is called
	status   ntstatus.Status
	when     string
	provoke  func(s *scene) outcome
}

// outcome is what a call returned, and its request; nil for one without an IRP.
type outcome struct {
	q   *request
	got ntstatus.Status
}

// scene is where a provocation takes place: what it opens is closed afterwards.
type scene struct {
	*rig
	opened []closer
}

func (s *scene) stage(flag uint32, bound, connected bool) *stage {
	st := s.on(flag, bound, connected)
	s.opened = append(s.opened, st.s)
	return st
}

// ask makes a call with an IRP.
func ask(call func(i *irp.IRP) ntstatus.Status) outcome {
	q := newRequest()
	return outcome{q, call(q.IRP)}
}

// after makes a call, and lets something happen to it.
func after(call func(i *irp.IRP) ntstatus.Status, happens func(q *request)) outcome {
	o := ask(call)
	synctest.Wait()
	happens(o.q)
	return o
}

func cancel(q *request) { q.Cancel() }

// closed closes a stage's socket before it is used.
func (st *stage) closed() *stage {
	st.r.shut(st.s)
	return st
}

// broken has the connection fail.
func (st *stage) broken(err error) *stage {
	q := newRequest()
	got := st.tcp.Receive(wsk.NewBuf(make([]byte, 1)), 0, q.IRP)
	st.peer.Fail(err)
	q.settles(st.r.t, got)
	return st
}

const (
	cConnection, cListen, cDatagram, cStream, cBasic = wsk.FlagConnectionSocket, wsk.FlagListenSocket, wsk.FlagDatagramSocket, wsk.FlagStreamSocket, wsk.FlagBasicSocket
)

var one = []byte("x")

// badBufs are descriptions that their chains do not hold.
var badBufs = map[string]*wsk.Buf{
	"a nil buffer":                       nil,
	"a length without a chain":           {Length: 1},
	"an offset beyond the first MDL":     {MDL: &wsk.MDL{Data: one, Next: &wsk.MDL{Data: one}}, Offset: 2, Length: 1},
	"a length beyond the end":            {MDL: &wsk.MDL{Data: one, Next: &wsk.MDL{Data: one}}, Length: 3},
	"offset and length beyond the end":   {MDL: &wsk.MDL{Data: []byte("ab")}, Offset: 1, Length: 2},
	"a length that overflows":            {MDL: &wsk.MDL{Data: one}, Offset: 1, Length: 1<<64 - 1},
	"a chain of nothing that never ends": endless(),
}

func endless() *wsk.Buf {
	m := &wsk.MDL{}
	m.Next = m
	return &wsk.Buf{MDL: m, Length: 1}
}

// oddAddresses are not of the family of an IPv4 socket.
var oddAddresses = map[string]wsk.SockAddr{
	"an address of another family":  server6,
	"an address of no family":       {Port: 80},
	"an address of Linux' AF_INET6": {Family: 10, Port: 80},
}

// badTargets cannot be sent or connected to.
var badTargets = map[string]wsk.SockAddr{
	"an address without a port": {Family: wsk.AF_INET, Addr: server4.Addr},
	"the wildcard":              {Family: wsk.AF_INET, Port: 80},
}

// provocations is the table: which function answers which status when.
func provocations() []provocation {
	var all []provocation
	add := func(function string, status ntstatus.Status, when string, provoke func(s *scene) outcome) {
		all = append(all, provocation{function, status, when, provoke})
	}
	registrationProvocations(add)
	clientProvocations(add)
	for _, flag := range []uint32{cConnection, cStream} {
		connectProvocations(add, flag)
		dataProvocations(add, flag)
	}
	bindProvocations(add)
	listenProvocations(add)
	datagramProvocations(add)
	controlProvocations(add)
	return all
}

type adder = func(function string, status ntstatus.Status, when string, provoke func(s *scene) outcome)

// TestEveryStatus provokes each status of each function for each reason, in every
// mode: the IRP, if there is one, completes once with it.
func TestEveryStatus(t *testing.T) {
	covers.IDs(t, "P1")
	for _, p := range provocations() {
		t.Run(fmt.Sprintf("%s/%v/%s", p.function, p.status, p.when), func(t *testing.T) {
			allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
				s := &scene{rig: r}
				o := p.provoke(s)
				status := o.got
				if o.q != nil {
					status = o.q.settles(t, o.got).Status
				}
				if status != p.status {
					t.Errorf("%v, want %v", status, p.status)
				}
				for _, c := range s.opened {
					q := newRequest()
					if result := q.settles(t, c.CloseSocket(q.IRP)); result.Status != ntstatus.Success && result.Status != ntstatus.FileForcedClosed {
						t.Errorf("closes with %v", result.Status)
					}
				}
			})
		})
	}
}

func registrationProvocations(add adder) {
	npi := &wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.Version1_0}}
	plain := func(f func(s *scene) ntstatus.Status) func(s *scene) outcome {
		return func(s *scene) outcome { return outcome{nil, f(s)} }
	}
	add("Register", ntstatus.InvalidParameter, "no client", plain(func(s *scene) ntstatus.Status { return s.p.Register(nil, new(wsk.Registration)) }))
	add("Register", ntstatus.InvalidParameter, "no dispatch", plain(func(s *scene) ntstatus.Status { return s.p.Register(&wsk.ClientNPI{}, new(wsk.Registration)) }))
	add("Register", ntstatus.InvalidParameter, "no registration", plain(func(s *scene) ntstatus.Status { return s.p.Register(npi, nil) }))
	add("Register", ntstatus.InvalidParameter, "a registration in use", plain(func(s *scene) ntstatus.Status { return s.p.Register(npi, &s.reg) }))
	add("CaptureProviderNPI", ntstatus.InvalidParameter, "nowhere to put it", plain(func(s *scene) ntstatus.Status { return s.reg.CaptureProviderNPI(wsk.NoWait, nil) }))
	add("CaptureProviderNPI", ntstatus.DeviceNotReady, "never registered", plain(func(s *scene) ntstatus.Status {
		return new(wsk.Registration).CaptureProviderNPI(wsk.InfiniteWait, new(wsk.ProviderNPI))
	}))
	add("CaptureProviderNPI", ntstatus.DeviceNotReady, "the provider does not start in time", plain(func(s *scene) ntstatus.Status {
		var reg wsk.Registration
		wsktest.NewProvider(s.t).Register(npi, &reg)
		return reg.CaptureProviderNPI(20, new(wsk.ProviderNPI))
	}))
	add("CaptureProviderNPI", ntstatus.DeviceNotReady, "after Stop", plain(func(s *scene) ntstatus.Status {
		s.p.Stop()
		return s.reg.CaptureProviderNPI(wsk.InfiniteWait, new(wsk.ProviderNPI))
	}))
	add("CaptureProviderNPI", ntstatus.DeviceNotReady, "after Deregister", plain(func(s *scene) ntstatus.Status {
		var reg wsk.Registration
		s.p.Register(npi, &reg)
		reg.Deregister()
		return reg.CaptureProviderNPI(wsk.InfiniteWait, new(wsk.ProviderNPI))
	}))
	add("CaptureProviderNPI", ntstatus.NoInterface, "another version", plain(func(s *scene) ntstatus.Status {
		var reg wsk.Registration
		s.p.Register(&wsk.ClientNPI{Dispatch: &wsk.ClientDispatch{Version: wsk.MakeVersion(2, 0)}}, &reg)
		defer reg.Deregister()
		return reg.CaptureProviderNPI(wsk.NoWait, new(wsk.ProviderNPI))
	}))
	add("QueryProviderCharacteristics", ntstatus.InvalidParameter, "nowhere to put it", plain(func(s *scene) ntstatus.Status { return s.reg.QueryProviderCharacteristics(nil) }))
	add("QueryProviderCharacteristics", ntstatus.DeviceNotReady, "after Stop", plain(func(s *scene) ntstatus.Status {
		s.p.Stop()
		return s.reg.QueryProviderCharacteristics(new(wsk.ProviderCharacteristics))
	}))
}

func clientProvocations(add adder) {
	socket := func(family, kind uint16, protocol, flag uint32, table wsk.EventTable) func(s *scene) outcome {
		return func(s *scene) outcome {
			return ask(func(i *irp.IRP) ntstatus.Status {
				return s.npi.Dispatch.Socket(s.npi.Client, family, kind, protocol, flag, nil, table, i)
			})
		}
	}
	const st, tcp, dg, udp = wsk.SOCK_STREAM, wsk.IPPROTO_TCP, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP
	add("Socket", ntstatus.InvalidParameter, "two categories", socket(wsk.AF_INET, st, tcp, 3, nil))
	add("Socket", ntstatus.InvalidParameter, "no category", socket(wsk.AF_INET, st, tcp, 16, nil))
	add("Socket", ntstatus.InvalidParameter, "a type of another category", socket(wsk.AF_INET, dg, udp, cConnection, nil))
	add("Socket", ntstatus.InvalidParameter, "a protocol of another type", socket(wsk.AF_INET, st, udp, cStream, nil))
	add("Socket", ntstatus.InvalidParameter, "protocol 0", socket(wsk.AF_INET, st, 0, cConnection, nil))
	add("Socket", ntstatus.InvalidParameter, "a table of another category", socket(wsk.AF_INET, st, tcp, cConnection, &wsk.ClientListenDispatch{}))
	add("Socket", ntstatus.InvalidParameter, "a table for a basic socket", socket(wsk.AF_INET, st, tcp, cBasic, &wsk.ClientConnectionDispatch{}))
	add("Socket", ntstatus.NotSupported, "another family", socket(10, st, tcp, cConnection, nil))
	create := func(s *scene) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.Socket(s.npi.Client, wsk.AF_INET, st, tcp, cConnection, nil, nil, i)
		}
	}
	connect := func(s *scene, local, remote *wsk.SockAddr, flags uint32) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.SocketConnect(s.npi.Client, st, tcp, local, remote, flags, nil, nil, i)
		}
	}
	add("Socket", ntstatus.DeviceNotReady, "after Stop", func(s *scene) outcome { s.p.Stop(); return ask(create(s)) })
	add("SocketConnect", ntstatus.DeviceNotReady, "after Stop", func(s *scene) outcome {
		s.p.Stop()
		return ask(connect(s, &wildcard, &server4, 0))
	})
	for name, dispatchOf := range map[string]func(s *scene) (*wsk.ProviderDispatch, *wsk.Client){
		"no client": func(s *scene) (*wsk.ProviderDispatch, *wsk.Client) { return s.npi.Dispatch, nil },
		"a client of another provider": func(s *scene) (*wsk.ProviderDispatch, *wsk.Client) {
			return s.npi.Dispatch, clientOf(s.t, wsktest.NewProvider(s.t))
		},
		"a client that never was registered": func(s *scene) (*wsk.ProviderDispatch, *wsk.Client) {
			return s.npi.Dispatch, new(wsk.Client)
		},
		"no dispatch table": func(s *scene) (*wsk.ProviderDispatch, *wsk.Client) { return nil, s.npi.Client },
		"a dispatch table that was not captured": func(s *scene) (*wsk.ProviderDispatch, *wsk.Client) {
			return new(wsk.ProviderDispatch), s.npi.Client
		},
		"neither of them": func(s *scene) (*wsk.ProviderDispatch, *wsk.Client) {
			return new(wsk.ProviderDispatch), new(wsk.Client)
		},
	} {
		bad := func(function string, call func(d *wsk.ProviderDispatch, c *wsk.Client, i *irp.IRP) ntstatus.Status) {
			add(function, ntstatus.InvalidParameter, name, func(s *scene) outcome {
				d, c := dispatchOf(s)
				return ask(func(i *irp.IRP) ntstatus.Status { return call(d, c, i) })
			})
		}
		bad("Socket", func(d *wsk.ProviderDispatch, c *wsk.Client, i *irp.IRP) ntstatus.Status {
			return d.Socket(c, wsk.AF_INET, st, tcp, cConnection, nil, nil, i)
		})
		bad("SocketConnect", func(d *wsk.ProviderDispatch, c *wsk.Client, i *irp.IRP) ntstatus.Status {
			return d.SocketConnect(c, st, tcp, &wildcard, &server4, 0, nil, nil, i)
		})
		bad("GetAddressInfo", func(d *wsk.ProviderDispatch, c *wsk.Client, i *irp.IRP) ntstatus.Status {
			return d.GetAddressInfo(c, "host", "", nil, new(*wsk.AddrInfo), i)
		})
		bad("GetNameInfo", func(d *wsk.ProviderDispatch, c *wsk.Client, i *irp.IRP) ntstatus.Status {
			return d.GetNameInfo(c, &server4, new(string), nil, 0, i)
		})
		bad("ControlClient", func(d *wsk.ProviderDispatch, c *wsk.Client, i *irp.IRP) ntstatus.Status {
			return d.ControlClient(c, wsk.TransportListChange, nil, nil, nil, i)
		})
		add("ControlClient", ntstatus.InvalidParameter, name+", without an IRP", func(s *scene) outcome {
			d, c := dispatchOf(s)
			return outcome{nil, d.ControlClient(c, wsk.TDIBehavior, nil, nil, nil, nil)}
		})
	}
	add("SocketConnect", ntstatus.InvalidParameter, "reserved flags", func(s *scene) outcome { return ask(connect(s, &wildcard, &server4, 1)) })
	add("SocketConnect", ntstatus.InvalidParameter, "no local address", func(s *scene) outcome { return ask(connect(s, nil, &server4, 0)) })
	add("SocketConnect", ntstatus.InvalidParameter, "no remote address", func(s *scene) outcome { return ask(connect(s, &wildcard, nil, 0)) })
	add("SocketConnect", ntstatus.InvalidParameter, "another type", func(s *scene) outcome {
		return ask(func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.SocketConnect(s.npi.Client, dg, udp, &wildcard, &server4, 0, nil, nil, i)
		})
	})
	add("SocketConnect", ntstatus.NotSupported, "another family", func(s *scene) outcome {
		return ask(connect(s, &wsk.SockAddr{Family: 10}, &server4, 0))
	})
	for name, a := range badTargets {
		add("SocketConnect", ntstatus.InvalidAddressComponent, name, func(s *scene) outcome { return ask(connect(s, &wildcard, &a, 0)) })
	}
	add("SocketConnect", ntstatus.InvalidAddressComponent, "two families", func(s *scene) outcome { return ask(connect(s, &wildcard, &server6, 0)) })
	for errno, status := range connectErrors {
		add("SocketConnect", status, says(errno), func(s *scene) outcome {
			return after(connect(s, &wildcard, &server4, 0), func(*request) { s.peer().Refuse(errno) })
		})
	}
	add("SocketConnect", ntstatus.Cancelled, "cancelled", func(s *scene) outcome { return after(connect(s, &wildcard, &server4, 0), cancel) })
	add("SocketConnect", ntstatus.FileForcedClosed, "the stack goes", func(s *scene) outcome {
		return after(connect(s, &wildcard, &server4, 0), func(*request) { s.p.Stop() })
	})

	info := func(s *scene, node string, hints *wsk.AddrInfo) func(i *irp.IRP) ntstatus.Status {
		s.p.SetResolver(book{})
		return func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.GetAddressInfo(s.npi.Client, node, "", hints, new(*wsk.AddrInfo), i)
		}
	}
	name := func(s *scene, a *wsk.SockAddr, node *string, flags uint32) func(i *irp.IRP) ntstatus.Status {
		s.p.SetResolver(book{})
		return func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.GetNameInfo(s.npi.Client, a, node, nil, flags, i)
		}
	}
	add("GetAddressInfo", ntstatus.InvalidParameter, "no name at all", func(s *scene) outcome { return ask(info(s, "", nil)) })
	add("GetAddressInfo", ntstatus.InvalidParameter, "an unknown flag", func(s *scene) outcome { return ask(info(s, "host", &wsk.AddrInfo{Flags: 1 << 31})) })
	add("GetAddressInfo", ntstatus.InvalidParameter, "an unknown family", func(s *scene) outcome { return ask(info(s, "host", &wsk.AddrInfo{Family: 10})) })
	add("GetAddressInfo", ntstatus.InvalidParameter, "nowhere to put it", func(s *scene) outcome {
		return ask(func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.GetAddressInfo(s.npi.Client, "host", "", nil, nil, i)
		})
	})
	add("GetAddressInfo", ntstatus.NoMatch, "no such name", func(s *scene) outcome { return ask(info(s, "nobody", nil)) })
	add("GetAddressInfo", ntstatus.IOTimeout, "the resolver gives up", func(s *scene) outcome { return ask(info(s, "late", nil)) })
	add("GetAddressInfo", ntstatus.NetworkUnreachable, "the resolver is out of reach", func(s *scene) outcome { return ask(info(s, "unreachable", nil)) })
	add("GetAddressInfo", ntstatus.Cancelled, "cancelled", func(s *scene) outcome { return after(info(s, "slow", nil), cancel) })
	add("GetAddressInfo", ntstatus.DeviceNotReady, "after Stop", func(s *scene) outcome { s.p.Stop(); return ask(info(s, "host", nil)) })
	add("GetNameInfo", ntstatus.InvalidParameter, "no address", func(s *scene) outcome { return ask(name(s, nil, new(string), 0)) })
	add("GetNameInfo", ntstatus.InvalidParameter, "an address of no family", func(s *scene) outcome { return ask(name(s, &wsk.SockAddr{}, new(string), 0)) })
	add("GetNameInfo", ntstatus.InvalidParameter, "nowhere to put it", func(s *scene) outcome { return ask(name(s, &server4, nil, 0)) })
	add("GetNameInfo", ntstatus.InvalidParameter, "an unknown flag", func(s *scene) outcome { return ask(name(s, &server4, new(string), 1<<31)) })
	add("GetNameInfo", ntstatus.NoMatch, "no name, and one is required", func(s *scene) outcome { return ask(name(s, &server6, new(string), wsk.NI_NAMEREQD)) })
	add("GetNameInfo", ntstatus.DeviceNotReady, "after Stop", func(s *scene) outcome { s.p.Stop(); return ask(name(s, &server4, new(string), 0)) })

	control := func(code uint32, input, output []byte, size *uint64) func(s *scene) outcome {
		return func(s *scene) outcome {
			return outcome{nil, s.npi.Dispatch.ControlClient(s.npi.Client, code, input, output, size, nil)}
		}
	}
	events := func(mask uint32) []byte {
		return wsk.EventCallbackControl{NpiID: wsk.NPI_WSK_INTERFACE_ID(), EventMask: mask}.Bytes()
	}
	add("ControlClient", ntstatus.NotSupported, "an unknown code", control(99, nil, nil, nil))
	add("ControlClient", ntstatus.NotSupported, "security descriptors", control(wsk.CacheSD, nil, nil, nil))
	add("ControlClient", ntstatus.NotSupported, "events of another interface", control(wsk.SetStaticEventCallbacks, make([]byte, 20), nil, nil))
	add("ControlClient", ntstatus.InvalidParameter, "an input that is too short", control(wsk.SetStaticEventCallbacks, events(wsk.EventReceive)[:19], nil, nil))
	add("ControlClient", ntstatus.InvalidParameter, "unknown events", control(wsk.SetStaticEventCallbacks, events(1), nil, nil))
	add("ControlClient", ntstatus.InvalidParameter, "a list without room for its size", control(wsk.TransportListQuery, nil, make([]byte, 100), nil))
	add("ControlClient", ntstatus.BufferOverflow, "a list that does not fit", control(wsk.TransportListQuery, nil, make([]byte, 27), new(uint64)))
	add("ControlClient", ntstatus.InvalidDeviceState, "static events once there was a socket", func(s *scene) outcome {
		s.stage(cBasic, false, false)
		return control(wsk.SetStaticEventCallbacks, events(wsk.EventReceive), nil, nil)(s)
	})
	add("ControlClient", ntstatus.DeviceNotReady, "after Stop", func(s *scene) outcome {
		s.p.Stop()
		return control(wsk.TransportListQuery, nil, nil, new(uint64))(s)
	})
	add("ControlClient", ntstatus.InvalidParameter, "an IRP with a code that takes none", func(s *scene) outcome {
		return ask(func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.ControlClient(s.npi.Client, wsk.TDIBehavior, nil, nil, nil, i)
		})
	})
	change := func(s *scene) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status {
			return s.npi.Dispatch.ControlClient(s.npi.Client, wsk.TransportListChange, nil, nil, nil, i)
		}
	}
	add("ControlClient", ntstatus.InvalidParameter, "a change of the list without an IRP", func(s *scene) outcome { return outcome{nil, change(s)(nil)} })
	add("ControlClient", ntstatus.Cancelled, "cancelled", func(s *scene) outcome { return after(change(s), cancel) })
}

// connectErrors are what ends a handshake.
var connectErrors = map[syscall.Errno]ntstatus.Status{
	syscall.ECONNREFUSED: ntstatus.ConnectionRefused, syscall.ETIMEDOUT: ntstatus.IOTimeout,
	syscall.ENETUNREACH: ntstatus.NetworkUnreachable, syscall.EHOSTUNREACH: ntstatus.HostUnreachable,
	syscall.EACCES: ntstatus.AccessDenied, syscall.EADDRINUSE: ntstatus.AddressAlreadyExists,
	syscall.EAGAIN: ntstatus.TooManyAddresses, syscall.ENOBUFS: ntstatus.InsufficientResources,
	syscall.ENOPROTOOPT: ntstatus.ProtocolUnreachable,
}

func connectProvocations(add adder, flag uint32) {
	where := map[uint32]string{cConnection: ", connection", cStream: ", stream"}[flag]
	connect := func(st *stage, a *wsk.SockAddr, b *wsk.Buf, flags uint32) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return st.tcp.ConnectEx(a, b, flags, i) }
	}
	bad := func(status ntstatus.Status, when string, a *wsk.SockAddr, b *wsk.Buf, flags uint32) {
		add("ConnectEx", status, when+where, func(s *scene) outcome { return ask(connect(s.stage(flag, true, false), a, b, flags)) })
		if b == nil {
			add("Connect", status, when+where, func(s *scene) outcome {
				st := s.stage(flag, true, false)
				return ask(func(i *irp.IRP) ntstatus.Status { return st.tcp.Connect(a, flags, i) })
			})
		}
	}
	bad(ntstatus.InvalidParameter, "reserved flags", &server4, nil, 1)
	bad(ntstatus.InvalidParameter, "no address", nil, nil, 0)
	for name, b := range badBufs {
		if b != nil && b.Length <= wsk.MaxConnectData {
			bad(ntstatus.InvalidParameter, name, &server4, b, 0)
		}
	}
	bad(ntstatus.BufferOverflow, "too many bytes", &server4, wsk.NewBuf(make([]byte, wsk.MaxConnectData+1)), 0)
	for name, a := range oddAddresses {
		bad(ntstatus.InvalidAddressComponent, name, &a, nil, 0)
	}
	for name, a := range badTargets {
		bad(ntstatus.InvalidAddressComponent, name, &a, nil, 0)
	}
	for _, fn := range []string{"Connect", "ConnectEx"} {
		call := func(st *stage) func(i *irp.IRP) ntstatus.Status {
			if fn == "Connect" {
				return func(i *irp.IRP) ntstatus.Status { return st.tcp.Connect(&server4, 0, i) }
			}
			return connect(st, &server4, wsk.NewBuf(one), 0)
		}
		add(fn, ntstatus.InvalidDeviceState, "not bound"+where, func(s *scene) outcome { return ask(call(s.stage(flag, false, false))) })
		add(fn, ntstatus.InvalidDeviceState, "connected already"+where, func(s *scene) outcome { return ask(call(s.stage(flag, true, true))) })
		add(fn, ntstatus.InvalidDeviceState, "connecting already"+where, func(s *scene) outcome {
			st := s.stage(flag, true, false)
			first := ask(call(st))
			o := ask(call(st))
			s.shut(st.s)
			first.q.settles(s.t, first.got)
			return o
		})
		add(fn, ntstatus.FileForcedClosed, "closed"+where, func(s *scene) outcome { return ask(call(s.stage(flag, true, false).closed())) })
		add(fn, ntstatus.FileForcedClosed, "the stack is gone"+where, func(s *scene) outcome {
			st := s.stage(flag, true, false)
			s.p.Stop()
			return ask(call(st))
		})
		add(fn, ntstatus.Cancelled, "cancelled"+where, func(s *scene) outcome { return after(call(s.stage(flag, true, false)), cancel) })
		add(fn, ntstatus.Cancelled, "closed under it"+where, func(s *scene) outcome {
			st := s.stage(flag, true, false)
			return after(call(st), func(*request) { s.shut(st.s) })
		})
		for errno, status := range connectErrors {
			add(fn, status, says(errno)+where, func(s *scene) outcome {
				st := s.stage(flag, true, false)
				return after(call(st), func(*request) { st.peer.Refuse(errno) })
			})
		}
	}
	for errno, status := range map[syscall.Errno]ntstatus.Status{
		syscall.ECONNRESET: ntstatus.ConnectionReset, syscall.ETIMEDOUT: ntstatus.IOTimeout, syscall.ECONNABORTED: ntstatus.ConnectionAborted,
	} {
		add("ConnectEx", status, says(errno)+" before the bytes are sent"+where, func(s *scene) outcome {
			st := s.stage(flag, true, false)
			return after(connect(st, &server4, wsk.NewBuf(one), 0), func(*request) {
				st.peer.Establish()
				synctest.Wait()
				st.peer.Fail(errno)
			})
		})
	}
}

func dataProvocations(add adder, flag uint32) {
	where := map[uint32]string{cConnection: ", connection", cStream: ", stream"}[flag]
	type call = func(st *stage, b *wsk.Buf, flags uint32) func(i *irp.IRP) ntstatus.Status
	calls := map[string]call{
		"Send": func(st *stage, b *wsk.Buf, f uint32) func(i *irp.IRP) ntstatus.Status {
			return func(i *irp.IRP) ntstatus.Status { return st.tcp.Send(b, f, i) }
		},
		"Receive": func(st *stage, b *wsk.Buf, f uint32) func(i *irp.IRP) ntstatus.Status {
			return func(i *irp.IRP) ntstatus.Status { return st.tcp.Receive(b, f, i) }
		},
		"Disconnect": func(st *stage, b *wsk.Buf, f uint32) func(i *irp.IRP) ntstatus.Status {
			return func(i *irp.IRP) ntstatus.Status { return st.tcp.Disconnect(b, f, i) }
		},
	}
	for fn, c := range calls {
		for name, b := range badBufs {
			if fn == "Disconnect" && b == nil {
				continue // means no buffer
			}
			add(fn, ntstatus.InvalidParameter, name+where, func(s *scene) outcome { return ask(c(s.stage(flag, true, true), b, 0)) })
		}
		good := func() *wsk.Buf { return wsk.NewBuf([]byte("hello")) }
		for name, st := range map[string]func(s *scene) *stage{
			"not bound":     func(s *scene) *stage { return s.stage(flag, false, false) },
			"not connected": func(s *scene) *stage { return s.stage(flag, true, false) },
		} {
			add(fn, ntstatus.InvalidDeviceState, name+where, func(s *scene) outcome { return ask(c(st(s), good(), 0)) })
		}
		if fn != "Receive" {
			add(fn, ntstatus.InvalidDeviceState, "disconnected before"+where, func(s *scene) outcome {
				st := s.stage(flag, true, true)
				first := ask(calls["Disconnect"](st, nil, 0))
				o := ask(c(st, good(), 0))
				s.shut(st.s)
				first.q.settles(s.t, first.got)
				return o
			})
		}
		add(fn, ntstatus.FileForcedClosed, "closed"+where, func(s *scene) outcome { return ask(c(s.stage(flag, true, true).closed(), good(), 0)) })
		add(fn, ntstatus.FileForcedClosed, "the stack goes"+where, func(s *scene) outcome {
			return after(c(s.stage(flag, true, true), good(), 0), func(*request) { s.p.Stop() })
		})
		add(fn, ntstatus.Cancelled, "cancelled"+where, func(s *scene) outcome { return after(c(s.stage(flag, true, true), good(), 0), cancel) })
		add(fn, ntstatus.Cancelled, "closed under it"+where, func(s *scene) outcome {
			st := s.stage(flag, true, true)
			return after(c(st, good(), 0), func(*request) { s.shut(st.s) })
		})
		for errno, status := range map[syscall.Errno]ntstatus.Status{
			syscall.ECONNRESET: ntstatus.ConnectionReset, syscall.ETIMEDOUT: ntstatus.IOTimeout, syscall.ECONNABORTED: ntstatus.ConnectionAborted,
		} {
			add(fn, status, says(errno)+where, func(s *scene) outcome {
				st := s.stage(flag, true, true)
				return after(c(st, good(), 0), func(*request) { st.peer.Fail(errno) })
			})
			add(fn, status, says(errno)+", before"+where, func(s *scene) outcome { return ask(c(s.stage(flag, true, true).broken(errno), good(), 0)) })
		}
		underAbort := ntstatus.ConnectionAborted
		if fn == "Send" {
			underAbort = ntstatus.Cancelled
		}
		add(fn, underAbort, "aborted under it"+where, func(s *scene) outcome {
			st := s.stage(flag, true, true)
			return after(c(st, good(), 0), func(*request) { ask(calls["Disconnect"](st, nil, wsk.FlagAbortive)) })
		})
	}
	add("Send", ntstatus.ConnectionDisconnected, "the transport does not take more"+where, func(s *scene) outcome {
		st := s.stage(flag, true, true)
		st.peer.Transport.WriteFunc = func([][]byte) (int, error) { return 0, syscall.EPIPE }
		return ask(calls["Send"](st, wsk.NewBuf(one), 0))
	})
	add("Send", ntstatus.NotSupported, "urgent data"+where, func(s *scene) outcome {
		return ask(calls["Send"](s.stage(flag, true, true), wsk.NewBuf(one), wsk.FlagOOB))
	})
	ex := func(st *stage) interface {
		SendEx(*wsk.Buf, uint32, []byte, *irp.IRP) ntstatus.Status
		ReceiveEx(*wsk.Buf, uint32, *uint32, []byte, *uint32, *irp.IRP) ntstatus.Status
	} {
		return st.s.(interface {
			SendEx(*wsk.Buf, uint32, []byte, *irp.IRP) ntstatus.Status
			ReceiveEx(*wsk.Buf, uint32, *uint32, []byte, *uint32, *irp.IRP) ntstatus.Status
		})
	}
	add("SendEx", ntstatus.NotSupported, "control information"+where, func(s *scene) outcome {
		st := s.stage(flag, true, true)
		return ask(func(i *irp.IRP) ntstatus.Status { return ex(st).SendEx(wsk.NewBuf(one), 0, one, i) })
	})
	add("ReceiveEx", ntstatus.InvalidParameter, "control flags, which are reserved"+where, func(s *scene) outcome {
		st := s.stage(flag, true, true)
		return ask(func(i *irp.IRP) ntstatus.Status {
			return ex(st).ReceiveEx(wsk.NewBuf(one), 0, nil, nil, new(uint32), i)
		})
	})
	add("Receive", ntstatus.NotSupported, "an unknown flag"+where, func(s *scene) outcome { return ask(calls["Receive"](s.stage(flag, true, true), wsk.NewBuf(one), 1)) })
	add("Receive", ntstatus.InvalidParameter, "all, and drained"+where, func(s *scene) outcome {
		return ask(calls["Receive"](s.stage(flag, true, true), &wsk.Buf{}, wsk.FlagWaitAll|wsk.FlagDrain))
	})
	add("Receive", ntstatus.InvalidParameter, "drained into a buffer"+where, func(s *scene) outcome {
		return ask(calls["Receive"](s.stage(flag, true, true), wsk.NewBuf(one), wsk.FlagDrain))
	})
	add("Disconnect", ntstatus.InvalidParameter, "an unknown flag"+where, func(s *scene) outcome { return ask(calls["Disconnect"](s.stage(flag, true, true), nil, 2)) })
	add("Disconnect", ntstatus.InvalidParameter, "abortive, with a buffer"+where, func(s *scene) outcome {
		return ask(calls["Disconnect"](s.stage(flag, true, true), wsk.NewBuf(one), wsk.FlagAbortive))
	})
	release := func(st *stage, d *wsk.DataIndication) ntstatus.Status {
		return st.s.(interface {
			Release(*wsk.DataIndication) ntstatus.Status
		}).Release(d)
	}
	add("Release", ntstatus.InvalidParameter, "nothing"+where, func(s *scene) outcome { return outcome{nil, release(s.stage(flag, true, true), nil)} })
	add("Release", ntstatus.InvalidParameter, "what was not retained"+where, func(s *scene) outcome {
		return outcome{nil, release(s.stage(flag, true, true), &wsk.DataIndication{})}
	})
	remote := func(st *stage, a *wsk.SockAddr) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return st.tcp.GetRemoteAddress(a, i) }
	}
	add("GetRemoteAddress", ntstatus.InvalidParameter, "nowhere to put it"+where, func(s *scene) outcome { return ask(remote(s.stage(flag, true, true), nil)) })
	add("GetRemoteAddress", ntstatus.InvalidDeviceState, "not connected"+where, func(s *scene) outcome {
		return ask(remote(s.stage(flag, true, false), new(wsk.SockAddr)))
	})
	add("GetRemoteAddress", ntstatus.FileForcedClosed, "closed"+where, func(s *scene) outcome {
		return ask(remote(s.stage(flag, true, true).closed(), new(wsk.SockAddr)))
	})
}

// binder is what every socket with an address has.
type binder interface {
	Bind(*wsk.SockAddr, uint32, *irp.IRP) ntstatus.Status
	GetLocalAddress(*wsk.SockAddr, *irp.IRP) ntstatus.Status
}

func bindProvocations(add adder) {
	for where, flag := range map[string]uint32{", connection": cConnection, ", stream": cStream, ", listening": cListen} {
		bind := func(st *stage, a *wsk.SockAddr, flags uint32) func(i *irp.IRP) ntstatus.Status {
			return func(i *irp.IRP) ntstatus.Status { return st.s.(binder).Bind(a, flags, i) }
		}
		local := func(st *stage, a *wsk.SockAddr) func(i *irp.IRP) ntstatus.Status {
			return func(i *irp.IRP) ntstatus.Status { return st.s.(binder).GetLocalAddress(a, i) }
		}
		fresh := func(s *scene) *stage { return s.stage(flag, false, false) }
		add("Bind", ntstatus.InvalidParameter, "reserved flags"+where, func(s *scene) outcome { return ask(bind(fresh(s), &wildcard, 1)) })
		add("Bind", ntstatus.InvalidParameter, "no address"+where, func(s *scene) outcome { return ask(bind(fresh(s), nil, 0)) })
		add("Bind", ntstatus.InvalidDeviceState, "bound already"+where, func(s *scene) outcome { return ask(bind(s.stage(flag, true, false), &wildcard, 0)) })
		add("Bind", ntstatus.FileForcedClosed, "closed"+where, func(s *scene) outcome { return ask(bind(fresh(s).closed(), &wildcard, 0)) })
		add("Bind", ntstatus.FileForcedClosed, "the stack is gone"+where, func(s *scene) outcome {
			st := fresh(s)
			s.p.Stop()
			return ask(bind(st, &wildcard, 0))
		})
		for name, a := range oddAddresses {
			add("Bind", ntstatus.InvalidAddressComponent, name+where, func(s *scene) outcome { return ask(bind(fresh(s), &a, 0)) })
		}
		for errno, status := range map[syscall.Errno]ntstatus.Status{
			syscall.EADDRINUSE: ntstatus.AddressAlreadyExists, syscall.EADDRNOTAVAIL: ntstatus.InvalidAddressComponent,
			syscall.EAGAIN: ntstatus.TooManyAddresses, syscall.EACCES: ntstatus.AccessDenied,
		} {
			add("Bind", status, says(errno)+where, func(s *scene) outcome {
				st := fresh(s)
				st.peer.Transport.BindFunc = refuseBind(errno)
				return ask(bind(st, &wildcard, 0))
			})
		}
		add("GetLocalAddress", ntstatus.InvalidDeviceState, "not bound"+where, func(s *scene) outcome { return ask(local(fresh(s), new(wsk.SockAddr))) })
		add("GetLocalAddress", ntstatus.InvalidParameter, "nowhere to put it"+where, func(s *scene) outcome { return ask(local(s.stage(flag, true, false), nil)) })
		add("GetLocalAddress", ntstatus.FileForcedClosed, "closed"+where, func(s *scene) outcome {
			return ask(local(s.stage(flag, true, false).closed(), new(wsk.SockAddr)))
		})
	}
}

func listenProvocations(add adder) {
	listen := func(st *stage) func(i *irp.IRP) ntstatus.Status { return st.s.(*wsk.StreamSocket).Listen }
	add("Listen", ntstatus.InvalidDeviceState, "not bound", func(s *scene) outcome { return ask(listen(s.stage(cStream, false, false))) })
	add("Listen", ntstatus.InvalidDeviceState, "connected", func(s *scene) outcome { return ask(listen(s.stage(cStream, true, true))) })
	add("Listen", ntstatus.FileForcedClosed, "closed", func(s *scene) outcome { return ask(listen(s.stage(cStream, true, false).closed())) })
	add("Listen", ntstatus.AddressAlreadyExists, "another one listens there", func(s *scene) outcome {
		st := s.stage(cStream, true, false)
		st.peer.Transport.ListenFunc = func(int) error { return syscall.EADDRINUSE }
		return ask(listen(st))
	})
	listening := map[string]func(s *scene) *stage{
		", listening": func(s *scene) *stage { return s.stage(cListen, true, false) },
		", stream": func(s *scene) *stage {
			st := s.stage(cStream, true, false)
			o := ask(listen(st))
			o.q.settles(s.t, o.got)
			return st
		},
	}
	for where, ready := range listening {
		accept := func(st *stage, flags uint32) func(i *irp.IRP) ntstatus.Status {
			return func(i *irp.IRP) ntstatus.Status {
				return st.s.(interface {
					Accept(uint32, any, *wsk.ClientConnectionDispatch, *wsk.SockAddr, *wsk.SockAddr, *irp.IRP) ntstatus.Status
				}).Accept(flags, nil, nil, nil, nil, i)
			}
		}
		add("Accept", ntstatus.InvalidParameter, "reserved flags"+where, func(s *scene) outcome { return ask(accept(ready(s), 1)) })
		add("Accept", ntstatus.FileForcedClosed, "closed"+where, func(s *scene) outcome { return ask(accept(ready(s).closed(), 0)) })
		add("Accept", ntstatus.FileForcedClosed, "the stack goes"+where, func(s *scene) outcome {
			return after(accept(ready(s), 0), func(*request) { s.p.Stop() })
		})
		add("Accept", ntstatus.Cancelled, "cancelled"+where, func(s *scene) outcome { return after(accept(ready(s), 0), cancel) })
		add("Accept", ntstatus.Cancelled, "closed under it"+where, func(s *scene) outcome {
			st := ready(s)
			return after(accept(st, 0), func(*request) { s.shut(st.s) })
		})
		add("Accept", ntstatus.InsufficientResources, "the transport has no room"+where, func(s *scene) outcome {
			st := ready(s)
			st.peer.Transport.AcceptFunc = func() (wsk.Transport, error) { return nil, syscall.ENOBUFS }
			return ask(accept(st, 0))
		})
		flag := map[string]uint32{", listening": cListen, ", stream": cStream}[where]
		add("Accept", ntstatus.InvalidDeviceState, "does not listen"+where, func(s *scene) outcome { return ask(accept(s.stage(flag, false, false), 0)) })
	}
	inspect := func(st *stage, id *wsk.InspectID, action wsk.InspectAction) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return st.s.(*wsk.ListenSocket).InspectComplete(id, action, i) }
	}
	ready := listening[", listening"]
	id := &wsk.InspectID{Key: 1 << 40, SerialNumber: 99}
	add("InspectComplete", ntstatus.NotFound, "an unknown request", func(s *scene) outcome { return ask(inspect(ready(s), id, wsk.InspectReject)) })
	add("InspectComplete", ntstatus.InvalidParameter, "no request", func(s *scene) outcome { return ask(inspect(ready(s), nil, wsk.InspectReject)) })
	add("InspectComplete", ntstatus.InvalidParameter, "to pend it again", func(s *scene) outcome { return ask(inspect(ready(s), id, wsk.InspectPend)) })
	add("InspectComplete", ntstatus.InvalidParameter, "an unknown action", func(s *scene) outcome { return ask(inspect(ready(s), id, 3)) })
	add("InspectComplete", ntstatus.InvalidDeviceState, "not bound", func(s *scene) outcome {
		return ask(inspect(s.stage(cListen, false, false), id, wsk.InspectAccept))
	})
	add("InspectComplete", ntstatus.FileForcedClosed, "closed", func(s *scene) outcome { return ask(inspect(ready(s).closed(), id, wsk.InspectAccept)) })
	for where, flag := range map[string]uint32{", connection": cConnection, ", stream": cStream, ", listening": cListen, ", datagram": cDatagram, ", basic": cBasic} {
		add("CloseSocket", ntstatus.FileForcedClosed, "closed before"+where, func(s *scene) outcome {
			return ask(s.stage(flag, false, false).closed().s.CloseSocket)
		})
		add("CloseSocket", ntstatus.InvalidParameter, "no IRP"+where, func(s *scene) outcome {
			return outcome{nil, s.stage(flag, false, false).s.CloseSocket(nil)}
		})
	}
}

func datagramProvocations(add adder) {
	fresh := func(s *scene) *stage { return s.stage(cDatagram, false, false) }
	ready := func(s *scene) *stage { return s.stage(cDatagram, true, false) }
	box := func(st *stage) *wsk.DatagramSocket { return st.s.(*wsk.DatagramSocket) }
	bind := func(st *stage, a *wsk.SockAddr, flags uint32) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return box(st).Bind(a, flags, i) }
	}
	add("Bind", ntstatus.InvalidParameter, "reserved flags, datagram", func(s *scene) outcome { return ask(bind(fresh(s), &wildcard, 1)) })
	add("Bind", ntstatus.InvalidDeviceState, "bound already, datagram", func(s *scene) outcome { return ask(bind(ready(s), &wildcard, 0)) })
	add("Bind", ntstatus.FileForcedClosed, "closed, datagram", func(s *scene) outcome { return ask(bind(fresh(s).closed(), &wildcard, 0)) })
	for name, a := range oddAddresses {
		add("Bind", ntstatus.InvalidAddressComponent, name+", datagram", func(s *scene) outcome { return ask(bind(fresh(s), &a, 0)) })
	}
	type send = func(st *stage, b *wsk.Buf, flags uint32, a *wsk.SockAddr, control []byte) func(i *irp.IRP) ntstatus.Status
	for fn, call := range map[string]send{
		"SendTo": func(st *stage, b *wsk.Buf, flags uint32, a *wsk.SockAddr, control []byte) func(i *irp.IRP) ntstatus.Status {
			return func(i *irp.IRP) ntstatus.Status { return box(st).SendTo(b, flags, a, control, i) }
		},
		"SendMessages": func(st *stage, b *wsk.Buf, flags uint32, a *wsk.SockAddr, control []byte) func(i *irp.IRP) ntstatus.Status {
			var list *wsk.BufList
			if b != nil { // the bad one is the second
				list = &wsk.BufList{Buffer: *wsk.NewBuf([]byte("good")), Next: &wsk.BufList{Buffer: *b}}
			}
			return func(i *irp.IRP) ntstatus.Status { return box(st).SendMessages(list, flags, a, control, i) }
		},
	} {
		good := func() *wsk.Buf { return wsk.NewBuf([]byte("hello")) }
		for name, b := range badBufs {
			add(fn, ntstatus.InvalidParameter, name, func(s *scene) outcome { return ask(call(ready(s), b, 0, &server4, nil)) })
		}
		add(fn, ntstatus.InvalidParameter, "reserved flags", func(s *scene) outcome { return ask(call(ready(s), good(), 1, &server4, nil)) })
		add(fn, ntstatus.InvalidParameter, "no address, and none fixed", func(s *scene) outcome { return ask(call(ready(s), good(), 0, nil, nil)) })
		for name, list := range badControl {
			add(fn, ntstatus.InvalidParameter, name, func(s *scene) outcome { return ask(call(ready(s), good(), 0, &server4, list)) })
		}
		add(fn, ntstatus.NotSupported, "an unknown control message", func(s *scene) outcome {
			return ask(call(ready(s), good(), 0, &server4, wsk.AppendControlMessage(nil, 99, 99, le(1))))
		})
		for name, a := range oddAddresses {
			add(fn, ntstatus.InvalidAddressComponent, name, func(s *scene) outcome { return ask(call(ready(s), good(), 0, &a, nil)) })
		}
		for name, a := range badTargets {
			add(fn, ntstatus.InvalidAddressComponent, name, func(s *scene) outcome { return ask(call(ready(s), good(), 0, &a, nil)) })
		}
		add(fn, ntstatus.InvalidDeviceState, "not bound", func(s *scene) outcome { return ask(call(fresh(s), good(), 0, &server4, nil)) })
		add(fn, ntstatus.FileForcedClosed, "closed", func(s *scene) outcome { return ask(call(ready(s).closed(), good(), 0, &server4, nil)) })
		for errno, status := range map[syscall.Errno]ntstatus.Status{
			syscall.EMSGSIZE: ntstatus.InvalidBufferSize, syscall.EACCES: ntstatus.AccessDenied,
			syscall.ENETUNREACH: ntstatus.NetworkUnreachable, syscall.EHOSTUNREACH: ntstatus.HostUnreachable,
			syscall.ENOBUFS: ntstatus.InsufficientResources, syscall.ENODEV: ntstatus.FileForcedClosed,
		} {
			add(fn, status, says(errno), func(s *scene) outcome {
				st := ready(s)
				st.box.Refuse(errno)
				return ask(call(st, good(), 0, &server4, nil))
			})
		}
		waiting := func(s *scene, happens func(st *stage, q *request)) outcome {
			st := ready(s)
			st.box.Refuse(syscall.EAGAIN)
			return after(call(st, good(), 0, &server4, nil), func(q *request) { happens(st, q) })
		}
		add(fn, ntstatus.Cancelled, "cancelled", func(s *scene) outcome { return waiting(s, func(_ *stage, q *request) { q.Cancel() }) })
		add(fn, ntstatus.Cancelled, "closed under it", func(s *scene) outcome { return waiting(s, func(st *stage, _ *request) { s.shut(st.s) }) })
		add(fn, ntstatus.FileForcedClosed, "the stack goes", func(s *scene) outcome { return waiting(s, func(*stage, *request) { s.p.Stop() }) })
	}
	receive := func(st *stage, b *wsk.Buf, flags uint32) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return box(st).ReceiveFrom(b, flags, nil, nil, nil, nil, i) }
	}
	for name, b := range badBufs {
		add("ReceiveFrom", ntstatus.InvalidParameter, name, func(s *scene) outcome { return ask(receive(ready(s), b, 0)) })
	}
	add("ReceiveFrom", ntstatus.InvalidParameter, "reserved flags", func(s *scene) outcome { return ask(receive(ready(s), wsk.NewBuf(one), 1)) })
	add("ReceiveFrom", ntstatus.InvalidDeviceState, "not bound", func(s *scene) outcome { return ask(receive(fresh(s), wsk.NewBuf(one), 0)) })
	add("ReceiveFrom", ntstatus.FileForcedClosed, "closed", func(s *scene) outcome { return ask(receive(ready(s).closed(), wsk.NewBuf(one), 0)) })
	add("ReceiveFrom", ntstatus.FileForcedClosed, "the stack goes", func(s *scene) outcome {
		return after(receive(ready(s), wsk.NewBuf(one), 0), func(*request) { s.p.Stop() })
	})
	add("ReceiveFrom", ntstatus.Cancelled, "cancelled", func(s *scene) outcome { return after(receive(ready(s), wsk.NewBuf(one), 0), cancel) })
	add("ReceiveFrom", ntstatus.Cancelled, "closed under it", func(s *scene) outcome {
		st := ready(s)
		return after(receive(st, wsk.NewBuf(one), 0), func(*request) { s.shut(st.s) })
	})
	add("ReceiveFrom", ntstatus.BufferOverflow, "a longer datagram, and no flags to tell", func(s *scene) outcome {
		st := ready(s)
		st.box.Deliver(remoteA, here, "longer")
		return ask(receive(st, wsk.NewBuf(make([]byte, 1)), 0))
	})
	add("Release", ntstatus.InvalidParameter, "nothing, datagram", func(s *scene) outcome { return outcome{nil, box(ready(s)).Release(nil)} })
	add("Release", ntstatus.InvalidParameter, "what was not retained, datagram", func(s *scene) outcome {
		return outcome{nil, box(ready(s)).Release(&wsk.DatagramIndication{})}
	})
	local := func(st *stage, a *wsk.SockAddr) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return box(st).GetLocalAddress(a, i) }
	}
	add("GetLocalAddress", ntstatus.InvalidDeviceState, "not bound, datagram", func(s *scene) outcome { return ask(local(fresh(s), new(wsk.SockAddr))) })
	add("GetLocalAddress", ntstatus.InvalidParameter, "nowhere to put it, datagram", func(s *scene) outcome { return ask(local(ready(s), nil)) })
}

// badControl are lists of control messages that are not well formed.
var badControl = map[string][]byte{
	"a control message without a whole header":  make([]byte, 15),
	"a control message longer than the list":    {17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0},
	"a control message shorter than its header": {15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0},
	"a control message of absurd length":        {255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 4, 0, 0, 0},
	"a control message without its value":       wsk.AppendControlMessage(nil, wsk.IPPROTO_IP, wsk.IP_TTL, []byte{1}),
	"a hop limit out of range":                  wsk.AppendControlMessage(nil, wsk.IPPROTO_IP, wsk.IP_TTL, le(256)),
}

func controlProvocations(add adder) {
	control := func(st *stage, what wsk.ControlType, code, level uint32, in, out []byte) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return st.s.ControlSocket(what, code, level, in, out, nil, i) }
	}
	const sol, tcp = wsk.SOL_SOCKET, wsk.IPPROTO_TCP
	for where, flag := range map[string]uint32{", connection": cConnection, ", stream": cStream, ", listening": cListen, ", datagram": cDatagram, ", basic": cBasic} {
		fresh := func(s *scene) *stage { return s.stage(flag, false, false) }
		bad := func(status ntstatus.Status, when string, what wsk.ControlType, code, level uint32, in, out []byte) {
			add("ControlSocket", status, when+where, func(s *scene) outcome { return ask(control(fresh(s), what, code, level, in, out)) })
		}
		bad(ntstatus.InvalidParameter, "an unknown kind of control", 3, wsk.SO_TYPE, sol, nil, make([]byte, 4))
		bad(ntstatus.InvalidParameter, "a value that is too short", wsk.SetOption, wsk.SO_RCVBUF, sol, []byte{1, 2, 3}, nil)
		bad(ntstatus.InvalidParameter, "no value", wsk.SetOption, wsk.SO_RCVBUF, sol, nil, nil)
		bad(ntstatus.InvalidParameter, "a value out of range", wsk.SetOption, wsk.SO_RCVBUF, sol, le(0), nil)
		bad(ntstatus.BufferTooSmall, "no room for the value", wsk.GetOption, wsk.SO_TYPE, sol, nil, make([]byte, 3))
		bad(ntstatus.BufferTooSmall, "no room at all", wsk.GetOption, wsk.SO_TYPE, sol, nil, nil)
		bad(ntstatus.NotSupported, "an unknown option", wsk.SetOption, 0x7777, sol, le(1), nil)
		bad(ntstatus.NotSupported, "an unknown level", wsk.GetOption, wsk.SO_TYPE, 77, nil, make([]byte, 4))
		bad(ntstatus.NotSupported, "Linux' number of TCP_FASTOPEN", wsk.SetOption, 23, tcp, le(1), nil)
		bad(ntstatus.NotSupported, "an option that is read only", wsk.SetOption, wsk.SO_TYPE, sol, le(1), nil)
		bad(ntstatus.NotSupported, "an option of IPv6", wsk.SetOption, wsk.IPV6_V6ONLY, wsk.IPPROTO_IPV6, le(0), nil)
		bad(ntstatus.NotSupported, "an unknown ioctl", wsk.Ioctl, 0x4004667F, 0, nil, make([]byte, 4))
		bad(ntstatus.InvalidDeviceState, "a backlog without a connection", wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, make([]byte, 8))
		add("ControlSocket", ntstatus.NotSupported, "an extension"+where, func(s *scene) outcome {
			return outcome{nil, fresh(s).s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_REGISTER_EXTENSION, 0, nil, nil, nil, nil)}
		})
		add("ControlSocket", ntstatus.InvalidParameter, "an IRP with an ioctl that takes none"+where, func(s *scene) outcome {
			return ask(control(fresh(s), wsk.Ioctl, wsk.SIO_WSK_REGISTER_EXTENSION, 0, nil, nil))
		})
		add("ControlSocket", ntstatus.InvalidParameter, "an option without an IRP"+where, func(s *scene) outcome {
			return outcome{nil, fresh(s).s.ControlSocket(wsk.GetOption, wsk.SO_TYPE, sol, nil, make([]byte, 4), nil, nil)}
		})
		add("ControlSocket", ntstatus.FileForcedClosed, "closed"+where, func(s *scene) outcome {
			return ask(control(fresh(s).closed(), wsk.GetOption, wsk.SO_TYPE, sol, nil, make([]byte, 4)))
		})
		add("ControlSocket", ntstatus.FileForcedClosed, "closed, without an IRP"+where, func(s *scene) outcome {
			return outcome{nil, fresh(s).closed().s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_REGISTER_EXTENSION, 0, nil, nil, nil, nil)}
		})
		add("ControlSocket", ntstatus.Cancelled, "cancelled before"+where, func(s *scene) outcome {
			st, q := fresh(s), newRequest()
			q.Cancel()
			return outcome{q, control(st, wsk.GetOption, wsk.SO_TYPE, sol, nil, make([]byte, 4))(q.IRP)}
		})
		if flag == cBasic || flag == cDatagram {
			continue
		}
		add("ControlSocket", ntstatus.InvalidDeviceRequest, "the inspect id of a socket without one"+where, func(s *scene) outcome {
			return outcome{nil, fresh(s).s.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_INSPECT_ID, 0, nil, make([]byte, 16), nil, nil)}
		})
	}
	for where, flag := range map[string]uint32{", connection": cConnection, ", stream": cStream} {
		add("ControlSocket", ntstatus.InvalidDeviceState, "TCP_FASTOPEN after the connect"+where, func(s *scene) outcome {
			return ask(control(s.stage(flag, true, true), wsk.SetOption, wsk.TCP_FASTOPEN, tcp, le(1), nil))
		})
		add("ControlSocket", ntstatus.BufferTooSmall, "no room for a backlog"+where, func(s *scene) outcome {
			return ask(control(s.stage(flag, true, true), wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, make([]byte, 7)))
		})
		add("ControlSocket", ntstatus.BufferOverflow, "a list of addresses that does not fit"+where, func(s *scene) outcome {
			st := s.stage(flag, true, true)
			return outcome{nil, st.s.ControlSocket(wsk.Ioctl, wsk.SIO_ADDRESS_LIST_QUERY, 0, nil, make([]byte, 3), nil, nil)}
		})
		add("ControlSocket", ntstatus.ConnectionReset, "a backlog of a broken connection"+where, func(s *scene) outcome {
			return ask(control(s.stage(flag, true, true).broken(syscall.ECONNRESET), wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, make([]byte, 8)))
		})
	}
	add("ControlSocket", ntstatus.InvalidDeviceState, "IPV6_V6ONLY after the bind", func(s *scene) outcome {
		q := newRequest()
		q.gives(s.t, s.npi.Dispatch.Socket(s.npi.Client, wsk.AF_INET6, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, cConnection, nil, nil, q.IRP), ntstatus.Success, 0)
		c := q.result.Object.(socket)
		s.opened = append(s.opened, c)
		q = newRequest()
		q.gives(s.t, c.Bind(&wildcard6, 0, q.IRP), ntstatus.Success, 0)
		return ask(func(i *irp.IRP) ntstatus.Status {
			return c.ControlSocket(wsk.SetOption, wsk.IPV6_V6ONLY, wsk.IPPROTO_IPV6, le(0), nil, nil, i)
		})
	})
	fix := func(in []byte, bound bool) func(s *scene) outcome {
		return func(s *scene) outcome {
			return ask(control(s.stage(cDatagram, bound, false), wsk.Ioctl, wsk.SIO_WSK_SET_REMOTE_ADDRESS, 0, in, nil))
		}
	}
	add("ControlSocket", ntstatus.InvalidParameter, "a fixed address that is too short", fix(server4.Bytes()[:15], true))
	add("ControlSocket", ntstatus.InvalidParameter, "a fixed IPv6 address of the length of IPv4's", fix(server6.Bytes()[:16], true))
	add("ControlSocket", ntstatus.InvalidParameter, "a fixed address of no family", fix(make([]byte, 28), true))
	add("ControlSocket", ntstatus.InvalidAddressComponent, "a fixed address of another family", fix(server6.Bytes(), true))
	add("ControlSocket", ntstatus.InvalidDeviceState, "a fixed address before the bind", fix(server4.Bytes(), false))

	events := func(st *stage, mask uint32) func(i *irp.IRP) ntstatus.Status {
		return func(i *irp.IRP) ntstatus.Status { return switchEvents(st.s, mask, i) }
	}
	ready := func(s *scene) *stage { return s.stage(cDatagram, true, false) }
	for name, mask := range map[string]uint32{
		"no event": 0, "an event of another category": wsk.EventAccept, "an unknown event": 1,
		"two events to disable": wsk.EventDisable | wsk.EventReceiveFrom | wsk.EventReceive, "no event to disable": wsk.EventDisable,
	} {
		add("ControlSocket", ntstatus.InvalidParameter, name, func(s *scene) outcome { return ask(events(ready(s), mask)) })
		add("ControlSocket", ntstatus.InvalidParameter, name+", without an IRP", func(s *scene) outcome { return outcome{nil, events(ready(s), mask)(nil)} })
	}
	add("ControlSocket", ntstatus.InvalidParameter, "an event without a callback", func(s *scene) outcome {
		return ask(events(s.stage(cConnection, true, true), wsk.EventReceive))
	})
	add("ControlSocket", ntstatus.InvalidDeviceState, "events too early", func(s *scene) outcome {
		return ask(events(s.stage(cDatagram, false, false), wsk.EventReceiveFrom))
	})
	add("ControlSocket", ntstatus.NotSupported, "events of a basic socket", func(s *scene) outcome {
		return ask(events(s.stage(cBasic, false, false), wsk.EventReceive))
	})
	add("ControlSocket", ntstatus.NotSupported, "events of another interface", func(s *scene) outcome {
		return ask(control(ready(s), wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, sol, make([]byte, 20), nil))
	})
	add("ControlSocket", ntstatus.InvalidParameter, "events that are too short", func(s *scene) outcome {
		return ask(control(ready(s), wsk.SetOption, wsk.SO_WSK_EVENT_CALLBACK, sol, make([]byte, 19), nil))
	})
	add("ControlSocket", ntstatus.EventPending, "a callback that runs is disabled without an IRP", func(s *scene) outcome {
		inside, held := make(chan struct{}), make(chan struct{})
		d := s.makeAny(cDatagram, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP, &wsk.ClientDatagramDispatch{
			ReceiveFromEvent: func(any, uint32, *wsk.DatagramIndication) ntstatus.Status {
				close(inside)
				<-held
				return ntstatus.Success
			}})
		s.opened = append(s.opened, d)
		q := newRequest()
		q.gives(s.t, d.(*wsk.DatagramSocket).Bind(&wildcard, 0, q.IRP), ntstatus.Success, 0)
		q = newRequest()
		q.gives(s.t, switchEvents(d, wsk.EventReceiveFrom, q.IRP), ntstatus.Success, 0)
		s.boxes[len(s.boxes)-1].Deliver(remoteA, here, "x")
		<-inside
		o := outcome{nil, switchEvents(d, wsk.EventDisable|wsk.EventReceiveFrom, nil)}
		close(held)
		return o
	})
}

// says is the reason that the stack answers errno.
func says(errno syscall.Errno) string { return "the stack: " + errno.Error() }

func refuseBind(err error) func(netip.AddrPort) error {
	return func(netip.AddrPort) error { return err }
}
