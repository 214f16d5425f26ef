package stack_test

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/wskstack/wskstack/stack"
)

// latency is the delay of a lossy wire each way. The clock never moves further
// at once, so a packet that a timer sends on the way cannot arrive late.
const latency = 20 * time.Millisecond

// lossy is a wire between two stacks in virtual time: it loses, delays,
// duplicates and corrupts packets as its seed says. One goroutine, the test's,
// does everything in turn, with netstack's barrier in between, so equal seeds
// give equal runs.
type lossy struct {
	t     testing.TB
	clock *faketime.ManualClock
	fate  *rand.Rand
	ends  [2]*lossyEnd

	mu     sync.Mutex // netstack's goroutines send
	flight flight
	count  int
}

type lossyEnd struct {
	*channel.Endpoint // for its Attach and what a link says about itself
	wire              *lossy
	to                int // the other end
	stack             *stack.Stack
}

// inFlight is a packet on its way.
type inFlight struct {
	due   time.Time
	order int
	to    int
	data  []byte
}

type flight []inFlight

func (f flight) Len() int { return len(f) }
func (f flight) Less(i, j int) bool {
	if f[i].due.Equal(f[j].due) {
		return f[i].order < f[j].order
	}
	return f[i].due.Before(f[j].due)
}
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flight) Push(x any)   { *f = append(*f, x.(inFlight)) }
func (f *flight) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}

// newLossy joins two stacks with the package's defaults.
func newLossy(t testing.TB, seed uint64) *lossy {
	w := &lossy{t: t, clock: faketime.NewManualClock(), fate: rand.New(rand.NewPCG(seed, 1))}
	for i, addr := range []netip.Addr{addrA, addrB} {
		e := &lossyEnd{Endpoint: channel.New(0, 1500, ""), wire: w, to: 1 - i}
		var random [32]byte
		binary.BigEndian.PutUint64(random[:], seed)
		random[31] = byte(i)
		e.stack = newStack(t, stack.Config{
			Link: e, Clock: w.clock, Addresses: prefixes(addr), SecureRandom: rand.NewChaCha8(random),
		})
		w.ends[i] = e
	}
	return w
}

// WritePackets decides what becomes of each packet: 5 % are lost, 5 % delayed by
// up to three packets' worth, 3 % come twice, 2 % have a bit changed, and all
// jitter by up to 5 ms.
func (e *lossyEnd) WritePackets(pkts gstack.PacketBufferList) (int, tcpip.Error) {
	w := e.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, pkt := range pkts.AsSlice() {
		v := pkt.ToView()
		data := v.ToSlice()
		v.Release()
		copies := 1
		if w.chance(3) {
			copies = 2
		}
		for range copies {
			w.put(e.to, bytes.Clone(data))
		}
	}
	return pkts.Len(), nil
}

func (w *lossy) chance(percent int) bool { return w.fate.IntN(100) < percent }

func (w *lossy) put(to int, data []byte) {
	delay := latency + time.Duration(w.fate.Int64N(int64(5*time.Millisecond)))
	if w.chance(5) {
		delay += 3 * latency / 4
	}
	if w.chance(2) {
		bit := w.fate.IntN(8 * len(data))
		data[bit/8] ^= 1 << (bit % 8)
	}
	if w.chance(5) {
		return
	}
	w.count++
	heap.Push(&w.flight, inFlight{w.clock.Now().Add(delay), w.count, to, data})
}

// due takes the next packet that has arrived.
func (w *lossy) due() (inFlight, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.flight) == 0 || w.flight[0].due.After(w.clock.Now()) {
		return inFlight{}, false
	}
	return heap.Pop(&w.flight).(inFlight), true
}

// step delivers what has arrived, and moves the clock to the next arrival or by
// the latency, whichever is less.
func (w *lossy) step() {
	for {
		p, ok := w.due()
		if !ok {
			break
		}
		pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData(p.data)})
		w.ends[p.to].InjectInbound(header.IPv4ProtocolNumber, pkt)
		pkt.DecRef()
		w.settle()
	}
	move := latency
	w.mu.Lock()
	if len(w.flight) > 0 {
		move = min(move, w.flight[0].due.Sub(w.clock.Now()))
	}
	w.mu.Unlock()
	w.clock.Advance(move)
	w.settle()
}

func (w *lossy) settle() {
	for _, e := range w.ends {
		e.stack.Netstack().Pause()
		e.stack.Netstack().Resume()
	}
}

// rack turns RACK on, as netstack has it by default.
func (w *lossy) rack() {
	on := tcpip.TCPRACKLossDetection
	for _, e := range w.ends {
		if err := e.stack.Netstack().SetTransportProtocolOption(tcp.ProtocolNumber, &on); err != nil {
			w.t.Fatal(err)
		}
	}
}

// transfer sends n bytes and a FIN from one end to the other, which answers with
// a FIN, and says how long it took until both ends were done; ok is false if
// they were not within the limit.
func (w *lossy) transfer(n int, limit time.Duration) (took time.Duration, ok bool) {
	w.t.Helper()
	listener := w.socket(1)
	w.must(listener.Bind(tcpip.FullAddress{Port: 80}))
	w.must(listener.Listen(2))
	client := w.socket(0)
	if err := client.Connect(tcpip.FullAddress{Addr: tcpip.AddrFrom4(addrB.As4()), Port: 80}); err == nil {
		w.t.Fatal("Connect did not block")
	}
	begin, data := w.clock.Now(), pattern(n)
	var server tcpip.Endpoint
	var got bytes.Buffer
	sent, answered := 0, false
	for w.clock.Now().Sub(begin) < limit {
		w.step()
		if sent < n {
			m, _ := client.Write(bytes.NewReader(data[sent:]), tcpip.WriteOptions{})
			if sent += int(m); sent == n {
				w.must(client.Shutdown(tcpip.ShutdownWrite))
			}
		}
		if server == nil {
			server, _, _ = listener.Accept(nil)
		}
		if server != nil && !answered {
			answered = drain(server, &got)
		}
		if answered && over(client) && over(server) {
			if !bytes.Equal(got.Bytes(), data) {
				w.t.Errorf("%d bytes arrived, not the %d that were sent", got.Len(), n)
			}
			return w.clock.Now().Sub(begin), true
		}
	}
	w.t.Logf("after %v: %d of %d bytes taken, %d arrived, the sender is in %v, %d packets in flight",
		limit, sent, n, got.Len(), tcp.EndpointState(client.State()), len(w.flight))
	return limit, false
}

// drain reads what is there; at the FIN it sends its own and says true.
func drain(ep tcpip.Endpoint, to io.Writer) bool {
	for {
		switch _, err := ep.Read(to, tcpip.ReadOptions{}); err.(type) {
		case nil:
		case *tcpip.ErrClosedForReceive:
			_ = ep.Shutdown(tcpip.ShutdownWrite)
			return true
		default:
			return false
		}
	}
}

// over says whether an end of a connection has nothing left to do.
func over(ep tcpip.Endpoint) bool {
	switch tcp.EndpointState(ep.State()) {
	case tcp.StateTimeWait, tcp.StateClose, tcp.StateError:
		return true
	}
	return false
}

func (w *lossy) socket(end int) tcpip.Endpoint {
	w.t.Helper()
	ep, err := w.ends[end].stack.Netstack().NewEndpoint(tcp.ProtocolNumber, header.IPv4ProtocolNumber, new(waiter.Queue))
	if err != nil {
		w.t.Fatal(err)
	}
	return ep
}

func (w *lossy) must(err tcpip.Error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
