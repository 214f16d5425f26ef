package wire

import (
	"errors"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/tun"
)

// openTUN opens a TUN device in the wire's namespace, the kernel behind it.
func openTUN(w *Wire, cfg Config) (iolink.Device, error) {
	dev, err := tun.Open(tun.Config{
		Name: "wire0", MTU: w.MTU, Addresses: w.PeerAddresses, Namespace: w.Namespace.Path(),
		NoOffload: cfg.NoOffload,
	})
	switch {
	case errors.Is(err, tun.ErrNoPrivilege), errors.Is(err, tun.ErrNoDevice):
		return nil, netns.Withheld(err)
	case err != nil:
		return nil, err
	}
	return dev, nil
}
