package wsk

import (
	"errors"
	"net"
	"net/netip"
	"syscall"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// Our own choices.
const (
	maxDatagram   = 65535 // bytes that a datagram can have at most
	maxIndicated  = 16    // datagrams that one ReceiveFromEvent tells of at most
	maxBufferList = 1 << 16
	maxMishaps    = 64 // datagrams that are dropped at once
)

var (
	errNotReady    error = net.ErrClosed
	errNoDatagrams error = syscall.EOPNOTSUPP
)

// datagrams is what a datagram socket has beside its transport; flow.mu guards it.
type datagrams struct {
	fixed    netip.AddrPort // the only peer, if valid
	sendTo   netip.AddrPort // the default destination, if valid and there is no fixed one
	held     []*message     // received, and nobody has taken them
	scratch  []byte         // where the next one is read
	retained map[*DatagramIndication]int
	bytes    int // the sum of retained
}

// message is one received datagram.
type message struct {
	data []byte
	Received
}

// sendRequest is what a SendTo or SendMessages brings along.
type sendRequest struct {
	to       netip.AddrPort
	hopLimit uint8
	rest     [][][]byte // the datagrams that are still to be sent
}

// receiveRequest is what a ReceiveFrom brings along.
type receiveRequest struct {
	remote *SockAddr
	length *uint32
	info   []byte
	flags  *uint32
}

// newDatagramTransport makes a UDP transport with the socket's options.
// Precondition: f.mu is held.
func (f *flow) newDatagramTransport() ntstatus.Status {
	d, err := f.client.provider.newDatagram(f.family, f.options.socketType)
	if err != nil {
		return statusOf(err, setting)
	}
	d.SetWake(f.wake)
	if f.family == AF_INET6 && f.options.socketType == SOCK_DGRAM {
		err = d.SetV6Only(f.options.v6Only)
	}
	if err != nil {
		_ = d.Close()
		return statusOf(err, setting)
	}
	f.datagram = d
	return ntstatus.Success
}

// sendTo is WskSendTo and WskSendMessages.
func (f *flow) sendTo(list *BufList, given bool, flags uint32, remote *SockAddr, control []byte, i *irp.IRP) ntstatus.Status {
	return f.call(fnSendTo, i, func(o *op) ntstatus.Status {
		if flags != 0 {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		q := &sendRequest{}
		if status := o.takeList(q, list); status != ntstatus.Success || !given {
			return f.fail(FaultBuffer, ntstatus.InvalidParameter)
		}
		var status ntstatus.Status
		if q.hopLimit, status = sendControl(control); status != ntstatus.Success {
			return status
		}
		if stateTable[fnSendTo][f.state].answer != proceed {
			return f.fail(FaultState, ntstatus.InvalidDeviceState)
		}
		if q.to, status = f.destination(remote); status != ntstatus.Success {
			return status
		}
		o.kind, o.send = kindSendTo, q
		f.sends.add(o)
		return ntstatus.Pending
	})
}

// takeList copies what the nodes say.
func (o *op) takeList(q *sendRequest, list *BufList) ntstatus.Status {
	for n := list; n != nil; n = n.Next {
		segs, status := n.Buffer.segments()
		if status != ntstatus.Success || len(q.rest) == maxBufferList {
			return ntstatus.InvalidParameter
		}
		segs = o.call.memory(segs, false)
		if size := o.flow.options.messageSize; size > 0 {
			q.rest = append(q.rest, cut(segs, size)...)
		} else {
			q.rest = append(q.rest, segs)
		}
	}
	return ntstatus.Success
}

// cut makes datagrams of size bytes of one that is longer (UDP_SEND_MSG_SIZE); the last
// has the rest.
func cut(segs [][]byte, size int) (datagrams [][][]byte) {
	var one [][]byte
	room := size
	for _, s := range segs {
		for len(s) > room {
			datagrams = append(datagrams, append(one, s[:room]))
			s, one, room = s[room:], nil, size
		}
		one, room = append(one, s), room-len(s)
	}
	return append(datagrams, one)
}

// destination is where a datagram goes. Precondition: f.mu is held.
func (f *flow) destination(remote *SockAddr) (netip.AddrPort, ntstatus.Status) {
	switch {
	case remote != nil:
		return f.receiver(remote)
	case f.dg.fixed.IsValid():
		return f.dg.fixed, ntstatus.Success
	case f.dg.sendTo.IsValid():
		return f.dg.sendTo, ntstatus.Success
	}
	return netip.AddrPort{}, f.fail(FaultAddress, ntstatus.InvalidParameter)
}

// receiver is peer for datagrams; raw ones have no port.
func (f *flow) receiver(a *SockAddr) (netip.AddrPort, ntstatus.Status) {
	if a == nil || f.options.socketType != SOCK_RAW {
		return f.peer(a)
	}
	raw := *a
	raw.Port = 1 // any but 0
	ap, status := f.peer(&raw)
	return netip.AddrPortFrom(ap.Addr(), 0), status
}

// receiveFrom is WskReceiveFrom.
func (f *flow) receiveFrom(buf *Buf, flags uint32, q *receiveRequest, i *irp.IRP) ntstatus.Status {
	return f.call(fnReceiveFrom, i, func(o *op) ntstatus.Status {
		if flags != 0 {
			return f.fail(FaultFlags, ntstatus.InvalidParameter)
		}
		if status := o.take(buf, kindReceiveFrom, flags); status != ntstatus.Success {
			return status
		}
		if status, work := f.allow(fnReceiveFrom); !work {
			return status
		}
		o.receive = q
		f.recvs.add(o)
		return ntstatus.Pending
	})
}

// stepDatagram moves datagrams. Precondition: f.mu is held, the state is Bound.
func (f *flow) stepDatagram() {
	for !f.sends.empty() && f.state == Bound {
		o := f.sends.first
		status := f.sendAll(o)
		if status == ntstatus.Pending {
			break
		}
		if status == ntstatus.FileForcedClosed {
			f.withdraw()
			return
		}
		f.sends.take()
		o.result.Information = uintptr(o.done)
		f.finish(o, status)
	}
	for !f.recvs.empty() && f.state == Bound {
		m := f.nextMessage()
		if m == nil {
			return
		}
		o := f.recvs.take()
		f.finish(o, f.deliver(o, m))
	}
}

// sendAll sends what is left of a request.
func (f *flow) sendAll(o *op) ntstatus.Status {
	for len(o.send.rest) > 0 {
		segs := o.send.rest[0]
		err := f.datagram.Send(segs, o.send.to, o.send.hopLimit)
		if notNow(err) {
			return ntstatus.Pending
		}
		if err != nil {
			return statusOf(err, always)
		}
		for _, s := range segs {
			o.done += len(s)
		}
		o.send.rest = o.send.rest[1:]
	}
	return ntstatus.Success
}

// nextMessage takes the next datagram that the socket is to have, nil if there is
// none; its data is valid until the next call. Precondition: f.mu is held.
func (f *flow) nextMessage() *message {
	if len(f.dg.held) > 0 {
		m := f.dg.held[0]
		f.dg.held = f.dg.held[1:]
		return m
	}
	if f.dg.scratch == nil {
		f.dg.scratch = make([]byte, maxDatagram)
	}
	for range maxMishaps {
		r, err := f.datagram.Receive([][]byte{f.dg.scratch})
		switch {
		case errors.Is(err, net.ErrClosed):
			f.withdraw()
			return nil
		case notNow(err):
			return nil
		case err != nil:
			continue // an ICMP error about a datagram that was sent: its request is over
		case f.dg.fixed.IsValid() && unmapped(r.From) != unmapped(f.dg.fixed):
			continue
		}
		return &message{f.dg.scratch[:r.Bytes], r}
	}
	f.kick() // and on, when others have had their turn
	return nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// deliver gives a datagram to a request and returns the request's status.
func (f *flow) deliver(o *op, m *message) ntstatus.Status {
	n := 0
	for _, s := range o.segs {
		n += copy(s, m.data[n:])
	}
	o.result.Information = uintptr(n)
	q := o.receive
	if q.remote != nil {
		*q.remote = sockAddrOf(f.family, m.From)
	}
	flags := m.kindFlags()
	cut := n < m.Total
	if cut {
		flags |= MSG_TRUNC
	}
	if q.length != nil {
		control := f.options.receiveControl(m.Received)
		if room := min(int(*q.length), len(q.info)); len(control) > room {
			control, flags = nil, flags|MSG_CTRUNC
		}
		*q.length = uint32(copy(q.info, control))
		if q.flags != nil {
			*q.flags = flags
			cut = false // it can be told there
		}
	}
	if cut {
		return ntstatus.BufferOverflow
	}
	return ntstatus.Success
}

// kindFlags tells of broadcasts and multicasts.
func (m *message) kindFlags() uint32 {
	switch {
	case m.To.IsMulticast():
		return MSG_MCAST
	case m.To == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return MSG_BCAST
	}
	return 0
}

// dueReceiveFrom returns the call of ReceiveFromEvent if there is something for it:
// datagrams of one kind. Precondition: f.mu is held.
func (f *flow) dueReceiveFrom() func() {
	if f.datagram == nil || f.state != Bound || f.events.enabled&EventReceiveFrom == 0 ||
		!f.recvs.empty() || f.dg.bytes >= f.retainLimit() {
		return nil
	}
	var batch []*message
	for len(batch) < maxIndicated {
		m := f.nextMessage()
		if m == nil {
			break
		}
		if len(batch) > 0 && m.kindFlags() != batch[0].kindFlags() {
			f.dg.held = append([]*message{m.own()}, f.dg.held...)
			break
		}
		batch = append(batch, m.own())
	}
	if len(batch) == 0 || f.state != Bound {
		return nil
	}
	list := f.indication(batch)
	nodes := nodesOf(list) // the client may link them anew
	table, context, flags := f.events.tables.datagram, f.context, batch[0].kindFlags()
	return func() {
		e := f.calling(EventReceiveFrom, table, list, false)
		status := table.ReceiveFromEvent(context, flags, list)
		e.answered(status, 0, 0)
		f.indicatedFrom(nodes, batch, status)
	}
}

// own gives a datagram memory of its own.
func (m *message) own() *message {
	return &message{append([]byte(nil), m.data...), m.Received}
}

// indication makes the list, and counts it as the client's: a callback may release
// before it says that it retains. Precondition: f.mu is held.
func (f *flow) indication(batch []*message) *DatagramIndication {
	if f.dg.retained == nil {
		f.dg.retained = map[*DatagramIndication]int{}
	}
	var list *DatagramIndication
	for k := len(batch) - 1; k >= 0; k-- {
		m := batch[k]
		from := sockAddrOf(f.family, m.From)
		list = &DatagramIndication{
			Next: list, Buffer: *NewBuf(f.indicate(m.data)), ControlInfo: f.options.receiveControl(m.Received), RemoteAddress: &from,
		}
		f.dg.retained[list] = len(m.data)
		f.dg.bytes += len(m.data)
	}
	return list
}

func nodesOf(list *DatagramIndication) []*DatagramIndication {
	var nodes []*DatagramIndication
	for d := list; d != nil; d = d.Next {
		nodes = append(nodes, d)
	}
	return nodes
}

// indicatedFrom takes the answer of ReceiveFromEvent.
func (f *flow) indicatedFrom(nodes []*DatagramIndication, batch []*message, status ntstatus.Status) {
	if status == ntstatus.Pending {
		return // the client's, until Release
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range nodes {
		f.unretainDatagram(d)
	}
	if status == ntstatus.DataNotAccepted && f.events.static&EventReceiveFrom == 0 {
		f.events.enabled &^= EventReceiveFrom
		if f.state < Closing {
			f.dg.held = append(batch, f.dg.held...)
		}
	}
}

func (f *flow) unretainDatagram(d *DatagramIndication) {
	f.dg.bytes -= f.dg.retained[d]
	delete(f.dg.retained, d)
}

// releaseDatagrams is WskRelease for datagrams: all of the list or nothing.
func (f *flow) releaseDatagrams(list *DatagramIndication) ntstatus.Status {
	c := f.watch("Release", nil, list)
	return c.leave(f.takeBackDatagrams(c, list))
}

func (f *flow) takeBackDatagrams(c *Call, list *DatagramIndication) ntstatus.Status {
	if f == nil || list == nil {
		c.fail(FaultList)
		return ntstatus.InvalidParameter
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[*DatagramIndication]bool{}
	for d := list; d != nil; d = d.Next {
		if _, ok := f.dg.retained[d]; !ok || seen[d] {
			c.fail(FaultList)
			return ntstatus.InvalidParameter
		}
		seen[d] = true
	}
	for d := range seen {
		f.unretainDatagram(d)
	}
	f.kick()
	return ntstatus.Success
}

// setPeer is the two ioctls that fix an address.
func (f *flow) setPeer(r *ioctlRequest) ntstatus.Status {
	var to netip.AddrPort
	if len(r.input) > 0 {
		a, ok := parseSockAddr(r.input)
		if !ok {
			return f.fail(FaultAddress, ntstatus.InvalidParameter)
		}
		var status ntstatus.Status
		if to, status = f.receiver(&a); status != ntstatus.Success {
			return status
		}
	}
	if status, work := f.allow(fnFixAddress); !work {
		return status
	}
	if r.code == SIO_WSK_SET_REMOTE_ADDRESS {
		f.dg.fixed = to
	} else {
		f.dg.sendTo = to
	}
	return ntstatus.Success
}
