package tuntest_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/tun"
	"github.com/wskstack/wskstack/tun/tuntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// numbered returns an IPv6 packet that carries a number, in several views.
func numbered(size, number int) frame.Packet {
	b := make([]byte, size)
	b[0], b[6] = 0x60, 17
	binary.BigEndian.PutUint16(b[4:], uint16(size-40))
	binary.BigEndian.PutUint32(b[40:], uint32(number))
	return frame.Packet{Views: [][]byte{b[:1], nil, b[1:40], b[40:]}, Size: size}
}

func bytesOf(p *frame.Packet) []byte { return bytes.Join(p.Views, nil)[:p.Size] }

func number(p *frame.Packet) int { return int(binary.BigEndian.Uint32(bytesOf(p)[40:])) }

func buffers(n int, sizes ...int) []frame.Packet {
	batch := make([]frame.Packet, n)
	for i := range batch {
		for _, size := range sizes {
			batch[i].Views = append(batch[i].Views, make([]byte, size))
		}
		batch[i].Offload.GSO = frame.GSOUDP // stale, to be cleared
	}
	return batch
}

func TestPacketsCrossUnchangedAndInOrder(t *testing.T) {
	a, b := tuntest.NewPair(tuntest.Config{Queue: 4})
	defer a.Close()
	defer b.Close()
	if a.Name() == b.Name() {
		t.Error("both ends have one name")
	}
	for _, way := range []struct{ from, to *tuntest.Device }{{a, b}, {b, a}} {
		for round := range 10 { // several times round the ring
			out := []frame.Packet{numbered(44, 3*round), numbered(1500, 3*round+1), numbered(9000, 3*round+2)}
			want := [][]byte{bytesOf(&out[0]), bytesOf(&out[1]), bytesOf(&out[2])}
			if n, err := way.from.Write(0, out); n != 3 || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
			for i := range out { // the buffers are the caller's again
				clear(out[i].Views[2])
			}
			in := buffers(8, 3, 60, 9000)
			n, err := way.to.Read(0, in)
			if n != 3 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
			for i := range want {
				if !bytes.Equal(bytesOf(&in[i]), want[i]) || in[i].Offload != (frame.Offload{}) {
					t.Errorf("round %d: packet %d was changed", round, i)
				}
			}
		}
	}
}

func TestFullRingDropsAndCounts(t *testing.T) {
	a, b := tuntest.NewPair(tuntest.Config{Queue: 2})
	defer a.Close()
	defer b.Close()
	batch := []frame.Packet{numbered(44, 0), numbered(44, 1), numbered(44, 2), numbered(44, 3)}
	if n, err := a.Write(0, batch); n != 4 || err != nil {
		t.Fatalf("wrote %d, %v; want all taken, two of them dropped", n, err)
	}
	if a.Dropped() != 2 || b.Dropped() != 0 {
		t.Errorf("dropped %d and %d, want 2 and 0", a.Dropped(), b.Dropped())
	}
	in := buffers(4, 1500)
	if n, _ := b.Read(0, in); n != 2 || number(&in[0]) != 0 || number(&in[1]) != 1 {
		t.Errorf("read %d packets; want the two oldest", n)
	}
}

func TestWhatNoReaderCouldTakeIsDropped(t *testing.T) {
	a, b := tuntest.NewPair(tuntest.Config{})
	defer a.Close()
	defer b.Close()
	cut := numbered(44, 0)
	cut.Views, cut.Size = cut.Views[:3], 40 // announces 4 bytes more
	junk := frame.Packet{Views: [][]byte{{1, 2, 3}}, Size: 3}
	if n, err := a.Write(0, []frame.Packet{cut, junk, numbered(2000, 1), numbered(44, 2)}); n != 4 || err != nil {
		t.Fatalf("wrote %d, %v", n, err)
	}
	in := buffers(1, 1500)
	if n, err := b.Read(0, in); n != 1 || err != nil || number(&in[0]) != 2 {
		t.Errorf("read %d, %v; want the last packet", n, err)
	}
	if a.Dropped() != 3 {
		t.Errorf("dropped %d, want 3", a.Dropped())
	}
}

func TestTheOtherSideGoesOn(t *testing.T) {
	a, b := tuntest.NewPair(tuntest.Config{})
	defer b.Close()
	if _, err := a.Write(0, []frame.Packet{numbered(44, 7)}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write(0, []frame.Packet{numbered(44, 8)}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	in := buffers(1, 1500)
	if n, err := b.Read(0, in); n != 1 || err != nil || number(&in[0]) != 7 {
		t.Errorf("what was written before Close: %d, %v", n, err)
	}
	if n, err := b.Write(0, []frame.Packet{numbered(44, 9)}); n != 1 || err != nil {
		t.Errorf("Write to a closed side: %d, %v", n, err)
	}
	if b.Dropped() != 2 { // the one in the ring, and the one after
		t.Errorf("dropped %d, want 2", b.Dropped())
	}
	if _, err := a.Read(0, in); !errors.Is(err, tun.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

// TestWaitingIsDurable: in a bubble, a Read that waits is seen as waiting, and
// ends by a packet or by Close and by nothing else.
func TestWaitingIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := tuntest.NewPair(tuntest.Config{})
		got := make(chan int, 2)
		failed := make(chan error, 1)
		go func() {
			in := buffers(4, 1500)
			for {
				n, err := b.Read(0, in)
				if err != nil {
					failed <- err
					return
				}
				got <- n
			}
		}()
		synctest.Wait()
		if len(got) != 0 || len(failed) != 0 {
			t.Fatal("Read returned although nothing was written")
		}
		if _, err := a.Write(0, []frame.Packet{numbered(44, 1), numbered(44, 2)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		total := 0
		for len(got) > 0 {
			total += <-got
		}
		if total != 2 {
			t.Errorf("read %d packets, want 2", total)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		select {
		case err := <-failed:
			if !errors.Is(err, tun.ErrClosed) {
				t.Errorf("Read ended with %v", err)
			}
		default:
			t.Error("Close did not end the Read")
		}
		_ = a.Close()
	})
}

func TestManyWritersAndReaders(t *testing.T) {
	const writers, each = 4, 500
	a, b := tuntest.NewPair(tuntest.Config{Queue: writers * each})
	var write, read sync.WaitGroup
	for w := range writers {
		write.Go(func() {
			for i := range each {
				if _, err := a.Write(0, []frame.Packet{numbered(44, w*each+i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	seen := map[int]int{}
	all := make(chan struct{})
	for range 3 {
		read.Go(func() {
			in := buffers(7, 1500)
			for {
				n, err := b.Read(0, in)
				if err != nil {
					return
				}
				mu.Lock()
				for i := range in[:n] {
					seen[number(&in[i])]++
				}
				if len(seen) == writers*each {
					close(all)
				}
				mu.Unlock()
			}
		})
	}
	write.Wait()
	<-all
	_ = b.Close()
	_ = a.Close()
	read.Wait()
	for i := range writers * each {
		if seen[i] != 1 {
			t.Errorf("packet %d came %d times", i, seen[i])
		}
	}
}

func TestNoAllocation(t *testing.T) {
	a, b := tuntest.NewPair(tuntest.Config{Queue: 1})
	defer a.Close()
	defer b.Close()
	out, in := []frame.Packet{numbered(1500, 1)}, buffers(1, 1500)
	if n := testing.AllocsPerRun(50, func() {
		_, _ = a.Write(0, out)
		_, _ = b.Read(0, in)
	}); n != 0 {
		t.Errorf("a packet costs %v allocations", n)
	}
}
