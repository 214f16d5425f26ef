package bench

import (
	"errors"
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
)

// onFastOpen puts netstack on a link with Fast Open, and nothing else, in between.
func onFastOpen(s *Subject, link gstack.LinkEndpoint) (dialer, error) {
	over, err := fastopen.New(link, fastopen.Config{})
	if err != nil {
		link.Close()
		return nil, err
	}
	return onNetstack(s, over)
}

// onNetstack puts netstack alone on a link, tuned as package stack tunes it: without
// Fast Open, the probe, or anything else of that package.
func onNetstack(s *Subject, link gstack.LinkEndpoint) (dialer, error) {
	ns := gstack.New(gstack.Options{
		NetworkProtocols:   []gstack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []gstack.TransportProtocolFactory{tcp.NewProtocol},
		HandleLocal:        true,
	})
	// The link goes first: Destroy alone waits for its readers with a lock held that
	// a reader's delivery may want.
	s.onClose(func() error {
		if err := ns.RemoveNIC(1); err != nil {
			link.Close() // the NIC was never made
		}
		link.Wait()
		ns.Destroy()
		return nil
	})
	if err := ns.CreateNIC(1, link); err != nil {
		return nil, fmt.Errorf("bench: %v", err)
	}
	address := tcpip.ProtocolAddress{Protocol: header.IPv4ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{
		Address: tcpip.AddrFromSlice(clientNet.Addr().AsSlice()), PrefixLen: clientNet.Bits(),
	}}
	if err := ns.AddProtocolAddress(1, address, gstack.AddressProperties{}); err != nil {
		return nil, fmt.Errorf("bench: %v", err)
	}
	ns.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	return viaNetstack{ns}.dial, tuneAlike(ns)
}

// tuneAlike sets what stack.New sets in its netstack, whatever that is.
func tuneAlike(ns *gstack.Stack) error {
	dev, _ := iolink.Pipe(DefaultMTU, 1)
	link, err := iolink.New(dev, iolink.Config{})
	if err != nil {
		return err
	}
	model, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{clientNet}})
	if err != nil {
		return err
	}
	for _, o := range []interface {
		tcpip.GettableTransportProtocolOption
		tcpip.SettableTransportProtocolOption
	}{
		new(tcpip.TCPSACKEnabled), new(tcpip.TCPRecovery), new(tcpip.TCPDelayEnabled), new(tcpip.CongestionControlOption),
		new(tcpip.TCPSendBufferSizeRangeOption), new(tcpip.TCPReceiveBufferSizeRangeOption), new(tcpip.TCPModerateReceiveBufferOption),
		new(tcpip.TCPMinRTOOption), new(tcpip.TCPTimeWaitReuseOption), new(tcpip.TCPTimeWaitTimeoutOption),
	} {
		terr := model.Netstack().TransportProtocolOption(tcp.ProtocolNumber, o)
		if terr == nil {
			terr = ns.SetTransportProtocolOption(tcp.ProtocolNumber, o)
		}
		if terr != nil {
			err = errors.Join(err, fmt.Errorf("bench: %T: %v", o, terr))
		}
	}
	return errors.Join(err, model.Close())
}
