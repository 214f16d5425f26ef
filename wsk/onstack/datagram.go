package onstack

import (
	"net/netip"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/wsk"
)

// NewDatagram implements wsk.DatagramNetwork.
func (n network) NewDatagram(v6 bool) (wsk.Datagram, error) {
	name := "udp4"
	if v6 {
		name = "udp"
	}
	d, err := n.stack.NewDatagram(name)
	if err != nil {
		return nil, err
	}
	return datagram{d}, nil
}

// datagram is a UDP socket in the words of wsk.
type datagram struct{ *stack.Datagram }

// Bind implements wsk.Datagram.
func (d datagram) Bind(local netip.AddrPort) error { return d.Datagram.Bind(noZone(local)) }

// Send implements wsk.Datagram.
func (d datagram) Send(src [][]byte, to netip.AddrPort, hopLimit uint8) error {
	return d.Datagram.Send(src, noZone(to), hopLimit)
}

// Receive implements wsk.Datagram.
func (d datagram) Receive(dst [][]byte) (wsk.Received, error) {
	r, err := d.Datagram.Receive(dst)
	return wsk.Received(r), err
}
