package iolink_test

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
)

// TestWriteMovesOnFromAClosedQueue: what the hash puts on it takes the next one, and
// only when all are closed is the device.
func TestWriteMovesOnFromAClosedQueue(t *testing.T) {
	covers.IDs(t, "H-40")
	d := newDevice(3)
	shut := make([]bool, 3)
	var took []int
	d.write = func(queue int, batch []frame.Packet) (int, error) {
		if shut[queue] {
			return 0, fmt.Errorf("queue %d: %w", queue, os.ErrClosed)
		}
		took = append(took, queue)
		return len(batch), nil
	}
	l := newLink(t, d, iolink.Config{})
	p := outbound(nil, 1)
	defer p.DecRef()
	for _, c := range []struct {
		shut int
		want []int
	}{{-1, []int{1}}, {1, []int{2}}, {2, []int{0}}} {
		if took = nil; c.shut >= 0 {
			shut[c.shut] = true
		}
		if n, err := l.WritePackets(list(p)); n != 1 || err != nil || !slices.Equal(took, c.want) {
			t.Errorf("queue %d shut: took %d, %v by the queues %v, want %v", c.shut, n, err, took, c.want)
		}
	}
	shut[0] = true
	for range 2 {
		if n, err := l.WritePackets(list(p)); n != 0 || fmt.Sprintf("%T", err) != fmt.Sprintf("%T", &tcpip.ErrClosedForSend{}) {
			t.Errorf("all shut: took %d, %v", n, err)
		}
	}
	if st := l.Stats(); st.TxPackets != 3 || st.TxClosed != 2 || st.TxErrors != 0 {
		t.Errorf("counters %+v", st)
	}
}

// TestLossesAreSaidOnce for each reason, however many packets it costs.
func TestLossesAreSaidOnce(t *testing.T) {
	covers.IDs(t, "H-37", "H-39")
	d, s := newDevice(1), newSink()
	d.offers = offers
	refusal := error(syscall.EAGAIN)
	d.write = func(int, []frame.Packet) (int, error) { return 0, refusal }
	var log strings.Builder
	l := newLink(t, d, iolink.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	l.Attach(s)
	p := outbound(nil, 0)
	defer p.DecRef()
	for _, refusal = range []error{syscall.EAGAIN, syscall.ENOBUFS, syscall.EIO, syscall.ENETDOWN} {
		l.WritePackets(list(p, p))
	}
	udp := frame.Offload{GSO: frame.GSOUDP, GSOSize: 10, Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 6}
	damaged := packet(4, 40)
	damaged[0], damaged[2], damaged[3] = 0x45, 0, 40
	for range 3 {
		d.reads[0] <- inbound{data: packet(4, 60), off: udp}
		d.reads[0] <- inbound{data: damaged}
	}
	d.reads[0] <- inbound{data: packet(6, 60), off: frame.Offload{Checksum: frame.ChecksumValid}}
	<-s.ch
	if st := l.Stats(); st.TxNoBuffer != 4 || st.TxErrors != 4 || st.RxMalformed != 3 || st.RxBadChecksum != 3 {
		t.Errorf("counters %+v", st)
	}
	for _, reason := range []string{"the device is full", "the device refuses it", "a super-segment that contradicts itself", "a wrong checksum"} {
		if n := strings.Count(log.String(), reason); n != 1 {
			t.Errorf("%q is said %d times:\n%s", reason, n, log.String())
		}
	}
}
