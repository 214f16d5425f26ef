package tun_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun"
	"github.com/wskstack/wskstack/tun/tuntest"
)

type device = iolink.Device

// What the stack's link endpoint asks of a device, both have.
var (
	_ device = (*tun.Device)(nil)
	_ device = (*tuntest.Device)(nil)
)

// devices are the real one and its double: whoever is tested with the one must
// not be surprised by the other.
var devices = map[string]func(t *testing.T) device{
	"tun": func(t *testing.T) device {
		tun.OwnNetns(t)
		d, err := tun.Open(tun.Config{NoOffload: true})
		if err != nil {
			t.Fatal(err)
		}
		return d
	},
	"tuntest": func(*testing.T) device {
		d, _ := tuntest.NewPair(tuntest.Config{})
		return d
	},
}

func eachDevice(t *testing.T, check func(t *testing.T, d device)) {
	for name, open := range devices {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			defer d.Close()
			check(t, d)
		})
	}
}

func packet(size int) frame.Packet {
	b := bytes.Repeat([]byte{0xa5}, size)
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	return frame.Packet{Views: [][]byte{b[:9], b[9:]}, Size: size}
}

func buffers(n, size int) []frame.Packet {
	batch := make([]frame.Packet, n)
	for i := range batch {
		batch[i].Views = [][]byte{make([]byte, size)}
	}
	return batch
}

// untilError reads until it fails.
func untilError(d device) error {
	batch := buffers(4, 65535)
	for {
		if _, err := d.Read(0, batch); err != nil {
			return err
		}
	}
}

func TestContractFacts(t *testing.T) {
	eachDevice(t, func(t *testing.T, d device) {
		if d.MTU() != 1500 || d.Queues() != 1 || d.Offloads() != (frame.Offloads{}) {
			t.Errorf("MTU %d, %d queues, offloads %+v", d.MTU(), d.Queues(), d.Offloads())
		}
	})
}

func TestContractClose(t *testing.T) {
	eachDevice(t, func(t *testing.T, d device) {
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if err := untilError(d); !errors.Is(err, os.ErrClosed) || !errors.Is(err, net.ErrClosed) || !errors.Is(err, tun.ErrClosed) {
					t.Errorf("Read ended with %v", err)
				}
			})
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		readers.Wait()
		if err := d.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if n, err := d.Write(0, []frame.Packet{packet(40)}); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write after Close: %d, %v", n, err)
		}
		if n, err := d.Read(0, buffers(1, 1500)); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read after Close: %d, %v", n, err)
		}
	})
}

func TestContractRefusals(t *testing.T) {
	eachDevice(t, func(t *testing.T, d device) {
		gso, partial, lie := packet(40), packet(40), packet(40)
		gso.Offload.GSO = frame.GSOTCPv6
		partial.Offload.Checksum = frame.ChecksumPartial
		lie.Size++
		for _, c := range []struct {
			bad  frame.Packet
			want error
		}{{gso, tun.ErrOffload}, {partial, tun.ErrOffload}, {lie, tun.ErrPacket}, {frame.Packet{}, tun.ErrPacket}} {
			n, err := d.Write(0, []frame.Packet{packet(40), packet(40), c.bad, packet(40)})
			if n != 2 || !errors.Is(err, c.want) {
				t.Errorf("got %d, %v; want 2, %v", n, err, c.want)
			}
		}
		if _, err := d.Read(0, buffers(1, 1499)); !errors.Is(err, io.ErrShortBuffer) {
			t.Errorf("buffers below the MTU: %v", err)
		}
		for _, queue := range []int{-1, 1, 1 << 30} {
			if _, err := d.Read(queue, buffers(1, 1500)); err == nil {
				t.Errorf("queue %d was read", queue)
			}
			if _, err := d.Write(queue, []frame.Packet{packet(40)}); err == nil {
				t.Errorf("queue %d was written", queue)
			}
		}
		if n, err := d.Read(0, nil); n != 0 || err != nil {
			t.Errorf("Read of nothing: %d, %v", n, err)
		}
		if n, err := d.Write(0, nil); n != 0 || err != nil {
			t.Errorf("Write of nothing: %d, %v", n, err)
		}
	})
}

// TestContractCloseWakesAWaitingRead: Close alone ends a Read that waits, without
// help from a packet.
func TestContractCloseWakesAWaitingRead(t *testing.T) {
	eachDevice(t, func(t *testing.T, d device) {
		ended := make(chan error, 1)
		go func() { ended <- untilError(d) }()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, tun.ErrClosed) {
				t.Errorf("Read ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Read still waits")
		}
	})
}
