package wire

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value of include/uapi/linux/ethtool.h.
type ethtoolValue struct{ cmd, data uint32 }

// ifreqPointer is struct ifreq with its pointer, padded to the union's size.
type ifreqPointer struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// withoutOffload switches off transmit checksums and segmentation, and receive
// merging, of a device of the calling thread's namespace.
func withoutOffload(device string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	for name, cmd := range map[string]uint32{
		"transmit checksums":       unix.ETHTOOL_STXCSUM,
		"TCP segmentation offload": unix.ETHTOOL_STSO,
		"generic segment offload":  unix.ETHTOOL_SGSO,
		"generic receive offload":  unix.ETHTOOL_SGRO,
	} {
		// A device without the feature has it off.
		if err := ethtool(fd, device, &ethtoolValue{cmd: cmd}); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("switching off %s of %s: %w", name, device, err)
		}
	}
	return nil
}

// ethtool does one request, through any socket of the device's namespace.
func ethtool(fd int, device string, value *ethtoolValue) error {
	req := ifreqPointer{data: unsafe.Pointer(value)}
	copy(req.name[:unix.IFNAMSIZ-1], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return errno
	}
	return nil
}
