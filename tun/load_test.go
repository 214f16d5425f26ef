package tun_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/stack/iolink/frame"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/flows"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/tun"
)

// TestOneQueueOfSeveralEnds under load: its calls end with an error that says so, and
// its connections go on over the queues that are left, without a byte lost.
func TestOneQueueOfSeveralEnds(t *testing.T) {
	covers.IDs(t, "H-40")
	const queues, dead = 4, 1
	ns := netnstest.New(t)
	d, err := tun.Open(tun.Config{Namespace: ns.Path(), Queues: queues, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	if errors.Is(err, tun.ErrNoDevice) || errors.Is(err, tun.ErrNoPrivilege) {
		err = netns.Withheld(err)
	}
	netnstest.Require(t, err)
	ended := make(chan int, queues)
	link, err := iolink.New(d, iolink.Config{
		Logger:        slog.New(slog.DiscardHandler),
		OnReadFailure: func(queue int, _ error) { ended <- queue },
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// So many that some have each of the queues.
	load, err := flows.Start(ctx, flows.Config{
		Stack: s, Namespace: ns, StackAddr: netip.MustParseAddr("192.0.2.2"), KernelAddr: netip.MustParseAddr("192.0.2.1"), Flows: 16, Bytes: 4 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	if err := load.Progress(ctx, 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := tun.CloseQueue(d, dead); err != nil {
		t.Fatal(err)
	}
	select {
	case queue := <-ended:
		if queue != dead {
			t.Errorf("the reader of queue %d has ended", queue)
		}
	case <-ctx.Done():
		t.Fatal("its reader does not end")
	}
	if err := load.Progress(ctx, flows.Endless); err != nil { // that is, to the end
		t.Error(err)
	}
	if n, err := d.Read(dead, buffers(1, 65535)); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read: %d, %v", n, err)
	}
	if n, err := d.Write(dead, []frame.Packet{packet(40)}); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if st := link.Stats(); st.ReadersFailed != 1 || st.TxClosed+st.TxErrors+st.TxNoBuffer > 0 {
		t.Errorf("%+v", st)
	}
}

// TestCloseUnderLoad: calls on every queue end with ErrClosed, and nothing of the
// packets on their way is kept.
func TestCloseUnderLoad(t *testing.T) {
	covers.IDs(t, "H-40")
	tun.OwnNetns(t)
	const queues = 4
	d, err := tun.Open(tun.Config{Queues: queues, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 2*queues)
	var written atomic.Int64
	under := make(chan struct{})
	for q := range queues {
		go func() {
			for {
				n, err := d.Write(q, []frame.Packet{packet(1400), packet(1400)})
				if err != nil {
					errs <- err
					return
				}
				if written.Add(int64(n)) == 1000 {
					close(under)
				}
			}
		}()
		go func() { errs <- untilErrorOf(d, q) }()
	}
	<-under
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	for range 2 * queues {
		if err := <-errs; !errors.Is(err, tun.ErrClosed) {
			t.Errorf("a call ended with %v", err)
		}
	}
}

func untilErrorOf(d *tun.Device, queue int) error {
	batch := buffers(4, 65535)
	for {
		if _, err := d.Read(queue, batch); err != nil {
			return err
		}
	}
}
