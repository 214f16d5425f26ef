package wire

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink"
)

// OffloadsOn lists the offloads of a veth wire that the kernel says are on.
func OffloadsOn(w *Wire) ([]string, error) {
	var on []string
	err := w.Namespace.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		for _, device := range []string{nearName, farName} {
			for name, cmd := range map[string]uint32{
				"tx-checksum": unix.ETHTOOL_GTXCSUM, "tso": unix.ETHTOOL_GTSO, "gso": unix.ETHTOOL_GGSO, "gro": unix.ETHTOOL_GGRO,
			} {
				value := ethtoolValue{cmd: cmd, data: 1}
				if err := ethtool(fd, device, &value); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
					return err
				}
				if value.data != 0 {
					on = append(on, fmt.Sprintf("%s of %s", name, device))
				}
			}
		}
		return nil
	})
	return on, err
}

// PacketDevice opens a second packet socket on a veth wire, to be read and
// written by hand.
func PacketDevice(w *Wire) (iolink.Device, error) {
	nl, err := w.Namespace.Netlink()
	if err != nil {
		return nil, err
	}
	near, err := nl.LinkByName(nearName)
	if err != nil {
		return nil, err
	}
	return openPacketDevice(w.Namespace, near.Attrs().Index, farMAC, w.MTU)
}
