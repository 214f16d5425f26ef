package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/netns"
)

// packetDevice moves IP packets through a packet socket (packet(7)) bound to one
// Ethernet device. Its methods may be called at the same time.
type packetDevice struct {
	file   *os.File // non-blocking, in the runtime's poller
	raw    syscall.RawConn
	index  int
	peer   net.HardwareAddr
	mtu    int
	closed atomic.Bool
}

var _ iolink.Device = (*packetDevice)(nil)

// receiveBuffer is asked for the socket, in bytes; the kernel gives an ordinary
// user less.
const receiveBuffer = 8 << 20

// openPacketDevice opens a packet socket in a namespace. Packets are sent to the
// Ethernet address peer.
func openPacketDevice(ns *netns.Namespace, index int, peer net.HardwareAddr, mtu int) (*packetDevice, error) {
	var fd int
	err := ns.Do(func() (err error) { fd, err = packetSocket(index); return err })
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, netns.Withheld(fmt.Errorf("no packet socket (%w): CAP_NET_RAW is needed, and CONFIG_PACKET in the kernel", err))
	}
	if err != nil {
		return nil, fmt.Errorf("no packet socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "packet")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &packetDevice{file: file, raw: raw, index: index, peer: peer, mtu: mtu}, nil
}

func packetSocket(index int) (int, error) {
	// Without a protocol nothing is received before the socket is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	// What this end sends is not to be read by it. Kernels before 4.20 do not
	// know the option; Read looks at the packet type in any case.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil && !errors.Is(err, unix.ENOPROTOOPT) {
		unix.Close(fd)
		return -1, os.NewSyscallError("setsockopt PACKET_IGNORE_OUTGOING", err)
	}
	// The larger buffer is a wish: only the machine's root gets it in full.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// network turns a number of the host into network byte order, and back.
func network(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// MTU implements iolink.Device.
func (d *packetDevice) MTU() int { return d.mtu }

// Queues implements iolink.Device: one.
func (*packetDevice) Queues() int { return 1 }

// Offloads implements iolink.Device: none.
func (*packetDevice) Offloads() frame.Offloads { return frame.Offloads{} }

// Close implements iolink.Device.
func (d *packetDevice) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	return d.file.Close()
}

// orClosed names the reason of an error that the poller gives after Close: it
// has an error of its own for that, which nobody outside can recognize.
func (d *packetDevice) orClosed(err error) error {
	if err != nil && d.closed.Load() {
		return fmt.Errorf("wire: %w", os.ErrClosed)
	}
	return err
}

// Read implements iolink.Device. Frames that carry no IP are passed over.
func (d *packetDevice) Read(queue int, batch []frame.Packet) (int, error) {
	if queue != 0 {
		return 0, fmt.Errorf("wire: there is no queue %d: a packet socket has one, numbered 0", queue)
	}
	if len(batch) == 0 {
		return 0, nil
	}
	var n int
	var failed error
	err := d.raw.Read(func(fd uintptr) bool {
		for n < len(batch) {
			size, err := receive(int(fd), batch[n].Views)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return n > 0
			case errors.Is(err, unix.EINTR), err == nil && size == 0:
			case err != nil:
				failed = err
				return true
			default:
				batch[n].Size, batch[n].Offload = size, frame.Offload{}
				n++
			}
		}
		return true
	})
	if n > 0 {
		return n, nil // an error comes again at the next call
	}
	return 0, d.orClosed(errors.Join(err, failed))
}

// receive reads one packet; the size is 0 for one that is not for the stack.
func receive(fd int, views [][]byte) (size int, err error) {
	n, _, flags, from, err := unix.RecvmsgBuffers(fd, views, nil, unix.MSG_TRUNC)
	if err != nil {
		return 0, os.NewSyscallError("recvmsg", err)
	}
	ll, ok := from.(*unix.SockaddrLinklayer)
	if !ok || ll.Pkttype == unix.PACKET_OUTGOING {
		return 0, nil
	}
	if p := network(ll.Protocol); p != unix.ETH_P_IP && p != unix.ETH_P_IPV6 {
		return 0, nil
	}
	if flags&unix.MSG_TRUNC != 0 {
		return 0, fmt.Errorf("wire: a packet of %d bytes does not fit the buffers: %w", n, io.ErrShortBuffer)
	}
	return n, nil
}

// Write implements iolink.Device.
func (d *packetDevice) Write(queue int, batch []frame.Packet) (int, error) {
	if queue != 0 {
		return 0, fmt.Errorf("wire: there is no queue %d: a packet socket has one, numbered 0", queue)
	}
	for i := range batch {
		if err := d.send(batch[i].Views); err != nil {
			return i, d.orClosed(err)
		}
	}
	return len(batch), nil
}

// send writes one packet, and waits for room if there is none.
func (d *packetDevice) send(views [][]byte) error {
	protocol, err := etherType(views)
	if err != nil {
		return err
	}
	// Not shared: the call writes into it.
	to := &unix.SockaddrLinklayer{Protocol: network(protocol), Ifindex: d.index, Halen: uint8(len(d.peer))}
	copy(to.Addr[:], d.peer)
	var failed error
	err = d.raw.Write(func(fd uintptr) bool {
		for {
			_, failed = unix.SendmsgBuffers(int(fd), views, nil, to, unix.MSG_NOSIGNAL)
			if !errors.Is(failed, unix.EINTR) {
				return !errors.Is(failed, unix.EAGAIN)
			}
		}
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", failed)
}

// etherType tells a packet's protocol by its first byte.
func etherType(views [][]byte) (uint16, error) {
	i := slices.IndexFunc(views, func(v []byte) bool { return len(v) > 0 })
	if i < 0 {
		return 0, errors.New("wire: an empty packet")
	}
	switch views[i][0] >> 4 {
	case 4:
		return unix.ETH_P_IP, nil
	case 6:
		return unix.ETH_P_IPV6, nil
	}
	return 0, errors.New("wire: not an IP packet")
}
