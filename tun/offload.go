package tun

import (
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun/internal/vnet"
)

// offload is what a device and we have agreed on.
type offload struct {
	// headers: each packet is preceded by a virtio_net header.
	headers bool
	// offers is what both sides may leave undone.
	offers frame.Offloads
	// hadSize is the size of the header that the device had before.
	hadSize int
}

// control runs f on the file's descriptor.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if ctl := raw.Control(func(fd uintptr) { err = f(int(fd)) }); ctl != nil {
		return ctl
	}
	return err
}

// negotiate agrees with the kernel on as much as it has. That it has nothing is
// no error: the device then moves ordinary packets, and the log says so once.
// An error means that the framing of packets is not known.
func (o *offload) negotiate(k kernel, cfg *Config, name string, file *os.File) error {
	var refused error
	err := control(file, func(fd int) error {
		flags, err := deviceFlags(fd)
		if err != nil {
			return err
		}
		if flags&unix.IFF_VNET_HDR == 0 {
			refused = fmt.Errorf("%s has no virtio_net headers", name)
			// Whoever had the device before may have left it with offloads.
			return k.noOffload(fd)
		}
		if err := o.frameHeaders(fd); err != nil {
			return err
		}
		if cfg.NoOffload {
			return k.noOffload(fd)
		}
		if refused = o.ask(k, fd); refused != nil {
			return k.noOffload(fd)
		}
		return nil
	})
	if err != nil {
		return fail(ErrSystem, "cannot agree with %s on the form of packets: %v", name, err)
	}
	if refused != nil && !cfg.NoOffload && cfg.Logger != nil {
		cfg.Logger.Warn("the TUN device does no offload: it moves packet by packet, and bulk transfer is slow",
			slog.String("device", name), slog.Any("reason", refused))
	}
	return nil
}

// frameHeaders fixes the size of the header, which a persistent device may have
// from somebody else.
func (o *offload) frameHeaders(fd int) (err error) {
	o.headers = true
	if o.hadSize, err = headerSize(fd); err != nil || o.hadSize == vnet.Size {
		return err
	}
	return setHeaderSize(fd, vnet.Size)
}

// ask asks for everything, and for less where that is refused.
func (o *offload) ask(k kernel, fd int) error {
	err := k.setOffload(fd, offloadRequest|offloadRequestUSO)
	uso := err == nil
	if err != nil {
		err = k.setOffload(fd, offloadRequest)
	}
	if err != nil {
		return fmt.Errorf("the kernel refuses offloads: %w", err)
	}
	o.offers = frame.Offloads{Checksum: true, TSO4: true, TSO6: true, USO: uso, MaxSize: maxMTU}
	return nil
}

// withdraw gives back what was agreed; it outlasts the queues on a persistent
// device. Whatever fails here fails because the device has gone.
func (o *offload) withdraw(file *os.File) {
	if !o.headers {
		return
	}
	_ = control(file, func(fd int) error {
		_ = setOffload(fd, 0)
		return setHeaderSize(fd, o.hadSize)
	})
}
