package wsk_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// The categories, as bits.
const (
	onBasic = 1 << iota
	onListen
	onConnection
	onStream
	onDatagram

	onTCP    = onConnection | onStream
	onAccept = onListen | onStream
	onAll    = onBasic | onListen | onTCP | onDatagram
)

// victim is a socket in a storm and its client.
type victim struct {
	storm *storm
	is    int // its category
	any   closer

	closing  atomic.Bool   // its owner is about to close it
	closed   atomic.Bool   // one of its callbacks has closed it ...
	closedBy chan struct{} // ... and that is over
	over     atomic.Bool   // a close has completed
	inside   atomic.Bool   // a callback runs
	orderly  bool          // its owner makes no calls any more when it closes
	open     atomic.Int64  // requests of the socket whose routines have not returned
	loose    sync.WaitGroup

	mu       sync.Mutex // guards all below
	children []*victim
	data     []*wsk.DataIndication
	grams    []*wsk.DatagramIndication
	asked    []wsk.InspectID  // connection requests that wait for a decision
	others   []*wsktest.Entry // requests that are not the socket's
}

// stressCall is what a verb is called with.
type stressCall struct {
	rng   *rand.Rand
	child *victim // becomes the client of the socket that the call makes
	loose bool    // the request is not the socket's
}

func (s *storm) victim(is int) *victim {
	return &victim{storm: s, is: is, closedBy: make(chan struct{})}
}

// create makes a socket of some category, nil if the provider is not there any more.
func (s *storm) create(rng *rand.Rand) *victim {
	kinds := []struct {
		is       int
		flag     uint32
		kind     uint16
		protocol uint32
	}{
		{onBasic, wsk.FlagBasicSocket, wsk.SOCK_STREAM, wsk.IPPROTO_TCP},
		{onListen, wsk.FlagListenSocket, wsk.SOCK_STREAM, wsk.IPPROTO_TCP},
		{onStream, wsk.FlagStreamSocket, wsk.SOCK_STREAM, wsk.IPPROTO_TCP},
		{onDatagram, wsk.FlagDatagramSocket, wsk.SOCK_DGRAM, wsk.IPPROTO_UDP},
		{onDatagram, wsk.FlagDatagramSocket, wsk.SOCK_RAW, wsk.IPPROTO_ICMP},
		{onConnection, wsk.FlagConnectionSocket, wsk.SOCK_STREAM, wsk.IPPROTO_TCP},
	}
	k := kinds[min(rng.IntN(10), len(kinds)-1)]
	v := s.victim(k.is)
	tables := map[int]wsk.EventTable{
		onListen: v.listenTable(), onConnection: v.connectionTable(), onDatagram: v.datagramTable(),
		onStream: &wsk.ClientStreamDispatch{Listen: v.listenTable(), Connect: v.connectionTable()},
	}
	made := make(chan irp.StatusBlock, 1)
	s.ledger.New(func(_ *wsktest.Entry, result irp.StatusBlock) { made <- result }).Submit(func(i *irp.IRP) ntstatus.Status {
		return s.npi.Dispatch.Socket(s.npi.Client, wsk.AF_INET, k.kind, k.protocol, k.flag, v, tables[k.is], i)
	})
	result := <-made
	if result.Status != ntstatus.Success {
		return nil
	}
	s.sockets.Add(1)
	v.any = result.Object.(closer)
	return v
}

// begin brings the socket to where it can do something.
func (v *victim) begin(rng *rand.Rand) {
	if v.is == onListen && rng.IntN(2) == 0 {
		v.named(rng, "ask before accepting")
	}
	if v.is != onBasic {
		v.named(rng, "Bind")
	}
	switch {
	case v.is == onStream && rng.IntN(3) == 0:
		v.named(rng, "Listen")
	case v.is&onTCP != 0:
		v.named(rng, "ConnectEx")
		for range rng.IntN(60) { // most of them come to be connected
			v.storm.weather(rng)
			runtime.Gosched()
		}
	}
}

func (v *victim) named(rng *rand.Rand, name string) {
	for n := range stressVerbs {
		if stressVerbs[n].name == name {
			v.call(rng, n)
		}
	}
}

// bear makes a new socket the child's.
func (v *victim) bear(child *victim, s *wsk.ConnectionSocket) {
	v.storm.sockets.Add(1)
	child.any = s
	v.mu.Lock()
	defer v.mu.Unlock()
	v.children = append(v.children, child)
}

// takeChildren ends what is not the socket's, and returns the sockets that came from
// this one.
func (v *victim) takeChildren() []*victim {
	v.mu.Lock()
	others := v.others
	v.mu.Unlock()
	for _, e := range others {
		e.Cancel()
	}
	v.loose.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.children
}

// enter is the begin of every callback, leave its end: they come one at a time, and
// none after the close.
func (v *victim) enter() {
	if !v.inside.CompareAndSwap(false, true) {
		v.storm.t.Error("two callbacks of a socket at once")
	}
	if v.over.Load() {
		v.storm.t.Error("a callback after the close has completed")
	}
}

func (v *victim) leave() { v.inside.Store(false) }

// closeInside sometimes closes the socket from inside a callback.
func (v *victim) closeInside() {
	if v.storm.roll(200) != 0 || v.any == nil || !v.closed.CompareAndSwap(false, true) {
		return
	}
	v.storm.ledger.New(func(_ *wsktest.Entry, result irp.StatusBlock) {
		if result.Status == ntstatus.Success {
			v.over.Store(true)
		}
		close(v.closedBy)
	}).Submit(v.any.CloseSocket)
}

func (v *victim) listenTable() *wsk.ClientListenDispatch {
	return &wsk.ClientListenDispatch{AcceptEvent: func(_ any, _ uint32, _, _ *wsk.SockAddr, s *wsk.ConnectionSocket,
		context *any, dispatch **wsk.ClientConnectionDispatch) ntstatus.Status {
		v.enter()
		defer v.leave()
		if s == nil || v.storm.roll(4) == 0 {
			return ntstatus.RequestNotAccepted
		}
		child := v.storm.victim(onConnection)
		*context, *dispatch = child, child.connectionTable()
		v.bear(child, s)
		return ntstatus.Success
	}, InspectEvent: func(_ any, _, _ *wsk.SockAddr, id *wsk.InspectID) wsk.InspectAction {
		v.enter()
		defer v.leave()
		v.closeInside()
		action := wsk.InspectAction(v.storm.roll(3))
		if action == wsk.InspectPend && id != nil {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.asked = append(v.asked, *id)
		}
		return action
	}, AbortEvent: func(any, *wsk.InspectID) ntstatus.Status {
		v.enter()
		defer v.leave()
		return ntstatus.Success
	}}
}

// request takes one that waits for a decision, or makes one up.
func (v *victim) request(rng *rand.Rand) *wsk.InspectID {
	v.mu.Lock()
	defer v.mu.Unlock()
	if rng.IntN(5) == 0 || len(v.asked) == 0 {
		return &wsk.InspectID{Key: rng.Uint64()}
	}
	id := v.asked[0]
	v.asked = v.asked[1:]
	return &id
}

func (v *victim) connectionTable() *wsk.ClientConnectionDispatch {
	return &wsk.ClientConnectionDispatch{
		ReceiveEvent: func(_ any, _ uint32, ind *wsk.DataIndication, n uint64, accepted *uint64) ntstatus.Status {
			v.enter()
			defer v.leave()
			v.closeInside()
			switch v.storm.roll(6) {
			case 0:
				return ntstatus.DataNotAccepted
			case 1, 2:
				if ind != nil {
					v.mu.Lock()
					defer v.mu.Unlock()
					v.data = append(v.data, ind)
				}
				return ntstatus.Pending
			case 3:
				if accepted != nil {
					*accepted = n / 2
				}
			}
			return ntstatus.Success
		},
		DisconnectEvent: func(any, uint32) ntstatus.Status {
			v.enter()
			defer v.leave()
			v.closeInside()
			return ntstatus.Success
		},
		SendBacklogEvent: func(any, uint64) ntstatus.Status {
			v.enter()
			defer v.leave()
			return ntstatus.Success
		},
	}
}

func (v *victim) datagramTable() *wsk.ClientDatagramDispatch {
	return &wsk.ClientDatagramDispatch{ReceiveFromEvent: func(_ any, _ uint32, ind *wsk.DatagramIndication) ntstatus.Status {
		v.enter()
		defer v.leave()
		v.closeInside()
		switch v.storm.roll(5) {
		case 0:
			return ntstatus.DataNotAccepted
		case 1, 2:
			v.mu.Lock()
			defer v.mu.Unlock()
			for d := ind; d != nil; d = d.Next {
				v.grams = append(v.grams, d)
			}
			return ntstatus.Pending
		}
		return ntstatus.Success
	}}
}

// release gives n retained indications back, -1: all, linked anew; and once more,
// which is refused.
func (v *victim) release(n int) {
	v.mu.Lock()
	data, grams := take(&v.data, n), take(&v.grams, n)
	v.mu.Unlock()
	check := func(first, again ntstatus.Status) {
		if first != ntstatus.Success && !v.closing.Load() && !v.closed.Load() {
			v.storm.t.Errorf("a release returned %v", first)
		}
		if again != ntstatus.InvalidParameter {
			v.storm.t.Errorf("a second release returned %v", again)
		}
	}
	if len(data) > 0 {
		for k, d := range data {
			d.Next = nil
			if k > 0 {
				data[k-1].Next = d
			}
		}
		s := v.any.(interface {
			Release(*wsk.DataIndication) ntstatus.Status
		})
		check(s.Release(data[0]), s.Release(data[0]))
	}
	if len(grams) > 0 {
		for k, d := range grams {
			d.Next = nil
			if k > 0 {
				grams[k-1].Next = d
			}
		}
		s := v.any.(*wsk.DatagramSocket)
		check(s.Release(grams[0]), s.Release(grams[0]))
	}
}

func take[T any](list *[]T, n int) []T {
	if n < 0 || n > len(*list) {
		n = len(*list)
	}
	taken := (*list)[:n:n]
	*list = (*list)[n:]
	return taken
}

// stressVerb is a random call.
type stressVerb struct {
	name   string
	on     int // categories
	weight int
	call   func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status
	fails  bool // it need never succeed
}

// choose draws a verb that the socket has.
func (v *victim) choose(rng *rand.Rand) int {
	sum := 0
	for _, verb := range stressVerbs {
		if verb.on&v.is != 0 {
			sum += verb.weight
		}
	}
	n := rng.IntN(sum)
	for k, verb := range stressVerbs {
		if verb.on&v.is == 0 {
			continue
		}
		if n -= verb.weight; n < 0 {
			return k
		}
	}
	panic("not reached")
}

func randomBuf(rng *rand.Rand) *wsk.Buf {
	return wsk.NewBuf(make([]byte, rng.IntN(100)), make([]byte, rng.IntN(100)))
}

func randomEvents(v *victim, rng *rand.Rand) uint32 {
	events := []uint32{wsk.EventReceive, wsk.EventDisconnect, wsk.EventSendBacklog}
	switch v.is {
	case onDatagram:
		return wsk.EventReceiveFrom
	case onListen:
		return wsk.EventAccept
	case onStream:
		events = append(events, wsk.EventAccept)
	}
	return events[rng.IntN(len(events))]
}

// here returns where a socket is to be bound: one that may listen has a port of its own.
func (v *victim) here() *wsk.SockAddr {
	if v.is&onAccept == 0 {
		return &wildcard
	}
	local := server4
	local.Port = uint16(v.storm.ports.Add(1))
	return &local
}

// stressVerbs is never written to.
var stressVerbs = []stressVerb{
	{"Bind", onAll &^ onBasic, 1, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(interface {
			Bind(*wsk.SockAddr, uint32, *irp.IRP) ntstatus.Status
		}).Bind(v.here(), 0, i)
	}, false},
	{"ConnectEx", onTCP, 2, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).ConnectEx(&server4, randomBuf(c.rng), 0, i)
	}, false},
	{"Connect", onTCP, 1, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).Connect(&server4, 0, i)
	}, true},
	{"Send", onTCP, 35, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).Send(randomBuf(c.rng), uint32(c.rng.IntN(2))*wsk.FlagNoDelay, i)
	}, false},
	{"Receive", onTCP, 30, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).Receive(randomBuf(c.rng), uint32(c.rng.IntN(2))*wsk.FlagWaitAll, i)
	}, false},
	{"Receive nothing", onTCP, 8, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).Receive(&wsk.Buf{}, 0, i)
	}, false},
	{"Receive and drain", onTCP, 1, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).Receive(&wsk.Buf{}, wsk.FlagDrain, i)
	}, true},
	{"Disconnect", onTCP, 2, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).Disconnect(randomBuf(c.rng), 0, i)
	}, false},
	{"Abort", onTCP, 1, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).Disconnect(nil, wsk.FlagAbortive, i)
	}, false},
	{"GetLocalAddress", onAll &^ onBasic, 4, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(interface {
			GetLocalAddress(*wsk.SockAddr, *irp.IRP) ntstatus.Status
		}).GetLocalAddress(new(wsk.SockAddr), i)
	}, false},
	{"GetRemoteAddress", onTCP, 2, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(socket).GetRemoteAddress(new(wsk.SockAddr), i)
	}, false},
	{"Listen", onStream, 1, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(*wsk.StreamSocket).Listen(i)
	}, false},
	{"Accept", onAccept, 20, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		c.child = v.storm.victim(onConnection)
		return v.any.(interface {
			Accept(uint32, any, *wsk.ClientConnectionDispatch, *wsk.SockAddr, *wsk.SockAddr, *irp.IRP) ntstatus.Status
		}).Accept(0, c.child, c.child.connectionTable(), new(wsk.SockAddr), new(wsk.SockAddr), i)
	}, false},
	{"InspectComplete", onListen, 10, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(*wsk.ListenSocket).InspectComplete(v.request(c.rng), wsk.InspectAction(c.rng.IntN(2)), i)
	}, false},
	{"ask before accepting", onListen, 1, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.ControlSocket(wsk.SetOption, wsk.SO_CONDITIONAL_ACCEPT, wsk.SOL_SOCKET, le(1), nil, nil, i)
	}, false},
	{"be silent", onTCP, 1, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_TCP_SILENT_MODE, 0, nil, nil, nil, i)
	}, false},
	{"SendTo", onDatagram, 20, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.(*wsk.DatagramSocket).SendTo(randomBuf(c.rng), 0, &server4, nil, i)
	}, false},
	{"SendMessages", onDatagram, 10, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		list := &wsk.BufList{Buffer: *randomBuf(c.rng), Next: &wsk.BufList{Buffer: *randomBuf(c.rng)}}
		return v.any.(*wsk.DatagramSocket).SendMessages(list, 0, &server4, nil, i)
	}, false},
	{"ReceiveFrom", onDatagram, 30, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		n, flags := uint32(32), uint32(0)
		return v.any.(*wsk.DatagramSocket).ReceiveFrom(randomBuf(c.rng), 0, new(wsk.SockAddr), &n, make([]byte, n), &flags, i)
	}, false},
	{"fix an address", onDatagram, 3, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		address := [][]byte{nil, server4.Bytes()}[c.rng.IntN(2)]
		return v.any.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_SET_REMOTE_ADDRESS, 0, address, nil, nil, i)
	}, false},
	{"get an option", onAll, 4, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.ControlSocket(wsk.GetOption, wsk.SO_TYPE, wsk.SOL_SOCKET, nil, make([]byte, 4), nil, i)
	}, false},
	{"set an option", onAll, 2, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.ControlSocket(wsk.SetOption, wsk.SO_RCVBUF, wsk.SOL_SOCKET, le(4096), nil, nil, i)
	}, false},
	{"ask for the backlog", onTCP, 2, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return v.any.ControlSocket(wsk.Ioctl, wsk.SIO_WSK_QUERY_RECEIVE_BACKLOG, 0, nil, make([]byte, 8), nil, i)
	}, false},
	{"enable events", onAll &^ onBasic, 6, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return switchEvents(v.any, randomEvents(v, c.rng), i)
	}, false},
	{"disable events", onAll &^ onBasic, 3, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		return switchEvents(v.any, wsk.EventDisable|randomEvents(v, c.rng), i)
	}, false},
	{"SocketConnect", onBasic, 3, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		c.child, c.loose = v.storm.victim(onConnection), true
		d := v.storm.npi.Dispatch
		return d.SocketConnect(v.storm.npi.Client, wsk.SOCK_STREAM, wsk.IPPROTO_TCP, &wildcard, &server4, 0, c.child, c.child.connectionTable(), i)
	}, false},
	{"GetAddressInfo", onBasic, 3, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		c.loose = true
		name := []string{"host", "slow", "nobody"}[c.rng.IntN(3)]
		return v.storm.npi.Dispatch.GetAddressInfo(v.storm.npi.Client, name, "", nil, new(*wsk.AddrInfo), i)
	}, false},
	{"GetNameInfo", onBasic, 2, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		c.loose = true
		return v.storm.npi.Dispatch.GetNameInfo(v.storm.npi.Client, &server4, new(string), new(string), 0, i)
	}, false},
	{"ControlClient", onBasic, 2, func(v *victim, c *stressCall, i *irp.IRP) ntstatus.Status {
		c.loose = true
		return v.storm.npi.Dispatch.ControlClient(v.storm.npi.Client, wsk.TransportListChange, nil, nil, nil, i)
	}, true},
}
