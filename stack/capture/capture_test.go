package capture_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/faketime"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	gstack "gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/wskstack/wskstack/stack/capture"
)

// sink counts what gets through the capture upwards.
type sink struct {
	mu sync.Mutex
	n  int
}

func (s *sink) DeliverNetworkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {
	s.mu.Lock()
	s.n++
	s.mu.Unlock()
}
func (*sink) DeliverLinkPacket(tcpip.NetworkProtocolNumber, *gstack.PacketBuffer) {}

// fixture is a capture over a channel link, with a sink above.
type fixture struct {
	*capture.Link
	lower *channel.Endpoint
	up    *sink
	clock *faketime.ManualClock
}

func setUp(t testing.TB, w io.Writer) *fixture {
	t.Helper()
	f := &fixture{lower: channel.New(64, 1500, ""), up: &sink{}, clock: faketime.NewManualClock()}
	var err error
	if f.Link, err = capture.New(f.lower, w, capture.Config{Clock: f.clock}); err != nil {
		t.Fatal(err)
	}
	f.Attach(f.up)
	t.Cleanup(f.Close)
	return f
}

// send passes a packet down: a pushed header and a payload.
func (f *fixture) send(t testing.TB, payload string) {
	t.Helper()
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{
		ReserveHeaderBytes: 60,
		Payload:            buffer.MakeWithData([]byte(payload)),
	})
	defer pkt.DecRef()
	copy(pkt.NetworkHeader().Push(20), "Eheader-of-20-bytes.")
	var l gstack.PacketBufferList
	l.PushBack(pkt)
	if n, err := f.WritePackets(l); n != 1 || err != nil {
		t.Fatalf("WritePackets = %d, %v", n, err)
	}
	f.lower.ReadContext(context.Background()).DecRef()
}

// receive passes a packet up.
func (f *fixture) receive(data string) {
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData([]byte(data))})
	defer pkt.DecRef()
	f.lower.InjectInbound(header.IPv4ProtocolNumber, pkt)
}

type record struct {
	data     string
	dir      pcapgo.NgEpbFlag
	at       time.Time
	comments []string
}

func parse(t *testing.T, b []byte) []record {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeRaw {
		t.Errorf("link type %v", r.LinkType())
	}
	var recs []record
	for {
		data, ci, opts, err := r.ReadPacketDataWithOptions()
		if err == io.EOF {
			return recs
		}
		if err != nil {
			t.Fatal(err)
		}
		if ci.Length != len(data) || ci.CaptureLength != len(data) {
			t.Errorf("lengths %+v of %d bytes", ci, len(data))
		}
		if opts.Flags == nil {
			t.Fatal("a packet has no direction")
		}
		recs = append(recs, record{string(data), opts.Flags.Direction, ci.Timestamp, opts.Comments})
	}
}

func TestRecordsBothDirections(t *testing.T) {
	var file bytes.Buffer
	f := setUp(t, &file)
	begin := f.clock.Now()
	f.send(t, "out")
	f.clock.Advance(1500 * time.Microsecond)
	f.receive("E-inbound")
	f.clock.Advance(time.Second)
	f.send(t, "")
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	f.receive("after the end")
	want := []record{
		{"Eheader-of-20-bytes.out", pcapgo.NgEpbFlagDirectionOutbound, begin, nil},
		{"E-inbound", pcapgo.NgEpbFlagDirectionInbound, begin.Add(1500 * time.Microsecond), nil},
		{"Eheader-of-20-bytes.", pcapgo.NgEpbFlagDirectionOutbound, begin.Add(1001500 * time.Microsecond), nil},
	}
	got := parse(t, file.Bytes())
	if len(got) != len(want) {
		t.Fatalf("%d packets in the file: %v", len(got), got)
	}
	for i := range want {
		if got[i].data != want[i].data || got[i].dir != want[i].dir || !got[i].at.Equal(want[i].at) {
			t.Errorf("packet %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	if f.up.n != 2 {
		t.Errorf("%d packets got through upwards", f.up.n)
	}
}

func TestStartStopStart(t *testing.T) {
	f := setUp(t, nil)
	if err := f.Stop(); err != nil {
		t.Errorf("Stop without a capture: %v", err)
	}
	f.receive("unseen")
	var one, two bytes.Buffer
	if err := f.Start(&one); err != nil {
		t.Fatal(err)
	}
	if parse(t, one.Bytes()) != nil { // the header is there at once
		t.Error("packets in a file that has just begun")
	}
	if err := f.Start(&two); !errors.Is(err, capture.ErrRunning) {
		t.Errorf("second Start: %v", err)
	}
	f.receive("one")
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(&two); err != nil {
		t.Fatal(err)
	}
	f.receive("two")
	f.Close()
	if err := f.Stop(); err != nil {
		t.Fatal(err)
	}
	if a, b := parse(t, one.Bytes()), parse(t, two.Bytes()); len(a) != 1 || len(b) != 1 || a[0].data != "one" || b[0].data != "two" {
		t.Errorf("the two files: %v and %v", a, b)
	}
}

// failing takes ok bytes and then fails.
type failing struct{ ok, calls int }

var errFull = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	f.calls++
	if len(p) > f.ok {
		return 0, errFull
	}
	f.ok -= len(p)
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	w := &failing{ok: 4096}
	f := setUp(t, w)
	big := "E" + string(make([]byte, 1400))
	for range 20 {
		f.receive(big)
		f.send(t, "x")
	}
	if f.up.n != 20 {
		t.Errorf("%d of 20 packets got through", f.up.n)
	}
	calls := w.calls
	f.receive(big)
	if w.calls != calls {
		t.Error("the writer was used after it had failed")
	}
	for range 2 {
		if err := f.Stop(); !errors.Is(err, errFull) {
			t.Errorf("Stop: %v", err)
		}
	}
	if _, err := capture.New(f.lower, &failing{}, capture.Config{}); !errors.Is(err, errFull) {
		t.Errorf("a writer that fails from the start: %v", err)
	}
}

func TestConcurrently(t *testing.T) {
	var file bytes.Buffer
	f := setUp(t, &file)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				f.receive("E-from-many")
			}
		})
	}
	wg.Go(func() { // a Stop in between must leave a whole file
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	for _, r := range parse(t, file.Bytes()) {
		if r.data != "E-from-many" {
			t.Errorf("mixed packet %q", r.data)
		}
	}
	if f.up.n != 400 {
		t.Errorf("%d packets got through", f.up.n)
	}
}

func TestNewRefusesNoLink(t *testing.T) {
	if _, err := capture.New(nil, nil, capture.Config{}); err == nil {
		t.Error("no link was taken for one")
	}
}

// herald says something of each packet: its bytes, and how often it was told.
type herald struct {
	mu     sync.Mutex
	rising map[*gstack.PacketBuffer]string
	on     []bool
}

func (h *herald) SetOn(on bool) { h.mu.Lock(); h.on = append(h.on, on); h.mu.Unlock() }

func (h *herald) Outgoing(b []byte) []string { return []string{"out", string(b[20:])} }

func (h *herald) Arrived(pkt *gstack.PacketBuffer, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rising[pkt] = string(b)
}

func (h *herald) Incoming(pkt *gstack.PacketBuffer) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := []string{h.rising[pkt]}
	delete(h.rising, pkt)
	return said
}

// answering sends a packet while it is given one.
type answering struct {
	sink
	answer func()
}

func (a *answering) DeliverNetworkPacket(p tcpip.NetworkProtocolNumber, pkt *gstack.PacketBuffer) {
	a.answer()
	a.sink.DeliverNetworkPacket(p, pkt)
}

// TestComments has a packet that is answered before it has been up: it stays in front of
// its answer, with what was said of it only then.
func TestComments(t *testing.T) {
	h := &herald{rising: map[*gstack.PacketBuffer]string{}}
	lower := channel.New(64, 1500, "")
	link, err := capture.New(lower, nil, capture.Config{Comments: h})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Link: link, lower: lower}
	t.Cleanup(link.Close)
	link.Attach(&answering{answer: func() { f.send(t, "answer") }})
	var file bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	wait, err := link.Record(ctx, &file)
	if err != nil {
		t.Fatal(err)
	}
	f.receive("E-question")
	f.receive("E-again")
	cancel()
	for range 2 {
		if err := wait(); err != nil {
			t.Error(err)
		}
	}
	f.receive("E-after the end")
	var got []string
	for _, r := range parse(t, file.Bytes()) {
		got = append(got, strings.Join(r.comments, "|"))
	}
	if want := []string{"E-question", "out|answer", "E-again", "out|answer"}; !slices.Equal(got, want) {
		t.Errorf("comments %q, want %q", got, want)
	}
	if !slices.Equal(h.on, []bool{true, false}) || len(h.rising) != 0 {
		t.Errorf("switched %v, %d packets are still announced", h.on, len(h.rising))
	}
}

func TestRecordEnds(t *testing.T) {
	f := setUp(t, nil)
	over, cancel := context.WithCancelCause(t.Context())
	cancel(errFull)
	if _, err := f.Record(over, io.Discard); !errors.Is(err, errFull) {
		t.Errorf("a context that has ended: %v", err)
	}
	if _, err := f.Record(t.Context(), nil); err == nil {
		t.Error("no writer was taken for one")
	}
	wait, err := f.Record(t.Context(), &failing{ok: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Record(t.Context(), io.Discard); !errors.Is(err, capture.ErrRunning) {
		t.Errorf("a second capture: %v", err)
	}
	for range 20 {
		f.receive("E" + string(make([]byte, 1400)))
	}
	if err := wait(); !errors.Is(err, errFull) {
		t.Errorf("wait: %v", err)
	}
	wait, err = f.Record(t.Context(), io.Discard) // the failed one is out of the way
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := wait(); err != nil {
		t.Errorf("ended by Close: %v", err)
	}
	if _, err := f.Record(t.Context(), io.Discard); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestIdleDoesNotAllocate(t *testing.T) {
	f := setUp(t, nil)
	pkt := gstack.NewPacketBuffer(gstack.PacketBufferOptions{Payload: buffer.MakeWithData([]byte("E-idle"))})
	defer pkt.DecRef()
	if n := testing.AllocsPerRun(100, func() { f.DeliverNetworkPacket(header.IPv4ProtocolNumber, pkt) }); n != 0 {
		t.Errorf("an idle capture allocates %v times a packet", n)
	}
}
