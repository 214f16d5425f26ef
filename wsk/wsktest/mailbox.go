package wsktest

import (
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/wskstack/wskstack/wsk"
)

// DatagramNetwork is a Network that makes UDP and raw transports as well, and has
// addresses.
type DatagramNetwork struct {
	Network
	Datagrams func(v6 bool) (wsk.Datagram, error)
	Raw       func(v6 bool, protocol uint8) (wsk.Datagram, error)
	Own       []netip.Addr
}

// NewRaw calls n.Raw; without it there is no protocol.
func (n DatagramNetwork) NewRaw(v6 bool, protocol uint8) (wsk.Datagram, error) {
	if n.Raw == nil {
		return nil, syscall.EPROTONOSUPPORT
	}
	return n.Raw(v6, protocol)
}

// Addresses implements wsk.AddressLister.
func (n DatagramNetwork) Addresses() []netip.Addr { return n.Own }

// NewDatagram calls n.Datagrams.
func (n DatagramNetwork) NewDatagram(v6 bool) (wsk.Datagram, error) { return n.Datagrams(v6) }

// Sent is a datagram that a Mailbox was given.
type Sent struct {
	Data     string
	To       netip.AddrPort
	HopLimit uint8
}

// Mailbox is a wsk.Datagram: a model of a UDP socket whose other end is played by the
// test. The zero value works.
type Mailbox struct {
	mu      sync.Mutex // a leaf; guards all below
	wake    func()
	local   netip.AddrPort
	sent    []Sent
	inbound []inbound
	err     error // what Send answers
	room    int   // how many datagrams it takes before it does
	told    []string
	closed  bool
}

type inbound struct {
	data string
	wsk.Received
	err error
}

var _ wsk.Datagram = (*Mailbox)(nil)

func (m *Mailbox) change(f func()) {
	m.mu.Lock()
	f()
	wake := m.wake
	m.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// Deliver sends a datagram to the socket, with a hop limit of 64 and a type of service
// of 0x2B.
func (m *Mailbox) Deliver(from netip.AddrPort, to netip.Addr, data string) {
	m.change(func() {
		m.inbound = append(m.inbound, inbound{data: data, Received: wsk.Received{From: from, To: to, HopLimit: 64, TOS: 0x2B}})
	})
}

// Mishap makes one Receive answer err.
func (m *Mailbox) Mishap(err error) {
	m.change(func() { m.inbound = append(m.inbound, inbound{err: err}) })
}

// Refuse makes every Send answer err, nil: take it.
func (m *Mailbox) Refuse(err error) { m.RefuseAfter(0, err) }

// RefuseAfter is Refuse for the Sends that follow the next n.
func (m *Mailbox) RefuseAfter(n int, err error) { m.change(func() { m.err, m.room = err, n }) }

// Sent returns and forgets what was sent.
func (m *Mailbox) Sent() []Sent {
	m.mu.Lock()
	defer m.mu.Unlock()
	sent := m.sent
	m.sent = nil
	return sent
}

// Told returns what options were set, Waiting how many datagrams wait, and Closed
// whether the socket was given up.
func (m *Mailbox) Told() (told []string, waiting int, closed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.told, len(m.inbound), m.closed
}

// SetWake implements wsk.Datagram.
func (m *Mailbox) SetWake(wake func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wake = wake
}

// Bind implements wsk.Datagram.
func (m *Mailbox) Bind(local netip.AddrPort) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), EphemeralPort)
	}
	m.local = local
	return nil
}

// LocalAddr implements wsk.Datagram.
func (m *Mailbox) LocalAddr() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.local
}

// Send implements wsk.Datagram.
func (m *Mailbox) Send(src [][]byte, to netip.AddrPort, hopLimit uint8) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil && m.room == 0 {
		return m.err
	}
	m.room = max(m.room-1, 0)
	data := ""
	for _, s := range src {
		data += string(s)
	}
	m.sent = append(m.sent, Sent{data, to, hopLimit})
	return nil
}

// Receive implements wsk.Datagram.
func (m *Mailbox) Receive(dst [][]byte) (wsk.Received, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return wsk.Received{}, net.ErrClosed
	}
	if len(m.inbound) == 0 {
		return wsk.Received{}, syscall.EAGAIN
	}
	in := m.inbound[0]
	m.inbound = m.inbound[1:]
	if in.err != nil {
		return wsk.Received{}, in.err
	}
	r := in.Received
	r.Total = len(in.data)
	for _, d := range dst {
		r.Bytes += copy(d, in.data[r.Bytes:])
	}
	return r, nil
}

func (m *Mailbox) tell(what string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, what)
	return nil
}

// SetV6Only implements wsk.Datagram.
func (m *Mailbox) SetV6Only(bool) error { return m.tell("v6only") }

// SetBroadcast implements wsk.Datagram.
func (m *Mailbox) SetBroadcast(bool) error { return m.tell("broadcast") }

// ShareAddress implements wsk.Sharer.
func (m *Mailbox) ShareAddress(bool) error { return nil }

// SetTTL implements wsk.HeaderSetter.
func (m *Mailbox) SetTTL(int) error { return m.tell("ttl") }

// SetHopLimit implements wsk.HeaderSetter.
func (m *Mailbox) SetHopLimit(int) error { return m.tell("hop limit") }

// SetTOS implements wsk.HeaderSetter.
func (m *Mailbox) SetTOS(int) error { return m.tell("tos") }

// SetNoChecksum implements wsk.ChecksumSetter.
func (m *Mailbox) SetNoChecksum(bool) error { return m.tell("no checksum") }

// SetMulticastHops implements wsk.Multicaster.
func (m *Mailbox) SetMulticastHops(int) error { return m.tell("multicast hops") }

// SetMulticastLoop implements wsk.Multicaster.
func (m *Mailbox) SetMulticastLoop(bool) error { return m.tell("multicast loop") }

// JoinGroup implements wsk.Multicaster.
func (m *Mailbox) JoinGroup(group netip.Addr) error { return m.tell("join " + group.String()) }

// LeaveGroup implements wsk.Multicaster.
func (m *Mailbox) LeaveGroup(group netip.Addr) error { return m.tell("leave " + group.String()) }

// SetReceiveBuffer implements wsk.Datagram.
func (m *Mailbox) SetReceiveBuffer(int) error { return m.tell("receive buffer") }

// ReceiveBuffer implements wsk.Datagram.
func (m *Mailbox) ReceiveBuffer() (int, error) { return 1000, nil }

// SetSendBuffer implements wsk.Datagram.
func (m *Mailbox) SetSendBuffer(int) error { return m.tell("send buffer") }

// SendBuffer implements wsk.Datagram.
func (m *Mailbox) SendBuffer() (int, error) { return 2000, nil }

// Close implements wsk.Datagram.
func (m *Mailbox) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
