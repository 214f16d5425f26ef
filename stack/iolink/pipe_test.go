package iolink_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
)

const mtu = 1500

// onDevice makes a stack on a device.
func onDevice(t *testing.T, dev iolink.Device, addr string) *stack.Stack {
	t.Helper()
	link, err := iolink.New(dev, iolink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix(addr)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// move carries packets from one end to the other until either is closed.
func move(from io.Reader, to io.Writer) {
	for buf := make([]byte, mtu); ; {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestWithoutADevice joins two stacks by each means that is no device, and opens a
// connection with data in its SYN over it.
func TestWithoutADevice(t *testing.T) {
	for name, joined := range map[string]func(t *testing.T) (a, b iolink.Device){
		"two pipes and a program between": func(*testing.T) (iolink.Device, iolink.Device) {
			a, x := iolink.Pipe(mtu, 64)
			b, y := iolink.Pipe(mtu, 64)
			go move(x, y)
			go move(y, x)
			return a, b
		},
		"a pipe whose end is the other's device": func(*testing.T) (iolink.Device, iolink.Device) {
			a, x := iolink.Pipe(mtu, 64)
			return a, iolink.FromReadWriter(x, mtu)
		},
		"file descriptors": func(t *testing.T) (iolink.Device, iolink.Device) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			return iolink.FromReadWriter(os.NewFile(uintptr(fds[0]), "a"), mtu), iolink.FromReadWriter(os.NewFile(uintptr(fds[1]), "b"), mtu)
		},
	} {
		t.Run(name, func(t *testing.T) {
			left, right := joined(t)
			a, b := onDevice(t, left, "10.0.0.1/24"), onDevice(t, right, "10.0.0.2/24")
			lc := stack.ListenConfig{Stack: b, FastOpen: new(fastopen.ListenConfig)}
			l, err := lc.Listen(t.Context(), "tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, 300_000)
			for i := range 2 { // for the cookie, and with it
				done := make(chan struct{})
				go func() {
					defer close(done)
					c, err := a.DialContextData(t.Context(), "tcp", "10.0.0.2:80", data)
					if err != nil {
						t.Error(err)
						return
					}
					_ = c.(*stack.TCPConn).CloseWrite()
					if n, err := io.Copy(io.Discard, c); n != 2 || err != nil {
						t.Errorf("the answer: %d, %v", n, err)
					}
					_ = c.Close()
				}()
				c, err := l.Accept()
				if err != nil {
					t.Fatal(err)
				}
				n, err := io.Copy(io.Discard, c)
				if n != int64(len(data)) || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
				if early := c.(*stack.TCPConn).FastOpenInfo().EarlyData; (early > 0) != (i == 1) {
					t.Errorf("connection %d has %d bytes of early data", i, early)
				}
				if _, err := c.Write([]byte("ok")); err != nil {
					t.Error(err)
				}
				_ = c.Close()
				<-done
			}
		})
	}
}

// TestPipeEnds closes from either end, and overfills.
func TestPipeEnds(t *testing.T) {
	packet := []byte("a packet")
	views := []frame.Packet{{Views: [][]byte{packet[:3], packet[3:]}, Size: len(packet)}}
	for name, tt := range map[string]func(dev iolink.Device, end *iolink.PipeEnd) error{
		"the program": func(_ iolink.Device, end *iolink.PipeEnd) error { return errors.Join(end.Close(), end.Close()) },
		"the stack":   func(dev iolink.Device, _ *iolink.PipeEnd) error { return errors.Join(dev.Close(), dev.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			dev, end := iolink.Pipe(mtu, 1)
			if n, err := dev.Write(0, append(views, views...)); n != 1 || !errors.Is(err, syscall.ENOBUFS) {
				t.Errorf("a full pipe: %d, %v", n, err)
			}
			if _, err := end.Read(make([]byte, 3)); !errors.Is(err, io.ErrShortBuffer) {
				t.Errorf("a short buffer: %v", err)
			}
			if n, err := dev.Write(0, views); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			buf := make([]byte, mtu)
			if n, err := end.Read(buf); string(buf[:n]) != string(packet) || err != nil {
				t.Errorf("%q, %v", buf[:n], err)
			}
			if _, err := end.Write(make([]byte, mtu+1)); !errors.Is(err, syscall.EMSGSIZE) {
				t.Errorf("a large packet: %v", err)
			}
			reading, writing := make(chan error, 2), make(chan error, 1)
			go func() { _, err := end.Read(buf); reading <- err }()
			go func() { // the second waits
				_, _ = end.Write(packet)
				_, err := end.Write(packet)
				writing <- err
			}()
			if err := tt(dev, end); err != nil {
				t.Error(err)
			}
			if err := <-reading; err != io.EOF {
				t.Errorf("Read: %v", err)
			}
			if err := <-writing; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write: %v", err)
			}
			if _, err := dev.Read(0, views); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the device's Read: %v", err)
			}
			if _, err := dev.Write(0, views); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the device's Write: %v", err)
			}
		})
	}
}

// half writes half of each packet.
type half struct{ io.ReadWriteCloser }

func (half) Write(p []byte) (int, error) { return len(p) / 2, nil }

// TestFromReadWriter has the errors of what is below come through.
func TestFromReadWriter(t *testing.T) {
	inner, end := iolink.Pipe(mtu, 4)
	dev := iolink.FromReadWriter(end, 1280)
	if dev.MTU() != 1280 || dev.Queues() != 1 || dev.Offloads() != (frame.Offloads{}) {
		t.Errorf("MTU %d, %d queues, offloads %+v", dev.MTU(), dev.Queues(), dev.Offloads())
	}
	batch := []frame.Packet{{Views: [][]byte{make([]byte, 3), make([]byte, 10)}}}
	if _, err := inner.Write(0, []frame.Packet{{Views: [][]byte{[]byte("hello")}}}); err != nil {
		t.Fatal(err)
	}
	n, err := dev.Read(0, batch)
	if got := string(batch[0].Views[0]) + string(batch[0].Views[1][:2]); n != 1 || err != nil || batch[0].Size != 5 || got != "hello" {
		t.Errorf("%d, %v, %q", n, err, got)
	}
	short := iolink.FromReadWriter(half{end}, mtu)
	if n, err := short.Write(0, batch); n != 0 || err != io.ErrShortWrite {
		t.Errorf("a short write: %d, %v", n, err)
	}
	if err := dev.Close(); err != nil {
		t.Error(err)
	}
	if _, err := dev.Read(0, batch); err != io.EOF {
		t.Errorf("Read after Close: %v", err)
	}
	if n, err := dev.Write(0, batch); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close: %d, %v", n, err)
	}
}

// TestPipeDoesNotAllocate moves a packet each way.
func TestPipeDoesNotAllocate(t *testing.T) {
	dev, end := iolink.Pipe(mtu, 4)
	buf := make([]byte, mtu)
	batch := []frame.Packet{{Views: [][]byte{make([]byte, 100)}}}
	n := 1.0
	for range 5 { // a garbage collection that comes between empties the pool
		n = min(n, testing.AllocsPerRun(100, func() {
			_, _ = dev.Write(0, batch)
			_, _ = end.Read(buf)
			_, _ = end.Write(buf[:100])
			_, _ = dev.Read(0, batch)
		}))
	}
	if n > 0 && !raceEnabled {
		t.Error("it allocates")
	}
}

// TestPipeEndsAtOnce has packets waiting both ways, which nobody gets any more.
func TestPipeEndsAtOnce(t *testing.T) {
	for range 50 { // a select picks at random
		dev, end := iolink.Pipe(100, 1)
		if _, err := end.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := dev.Write(0, []frame.Packet{{Views: [][]byte{{1}}, Size: 1}}); err != nil {
			t.Fatal(err)
		}
		if err := end.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := end.Read(make([]byte, 100)); n != 0 || err != io.EOF {
			t.Errorf("the program reads %d, %v", n, err)
		}
		packets := []frame.Packet{{Views: [][]byte{make([]byte, 100)}}}
		if n, err := dev.Read(0, packets); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("the stack reads %d, %v", n, err)
		}
	}
}
