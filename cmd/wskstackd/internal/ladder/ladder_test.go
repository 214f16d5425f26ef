package ladder_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/tcpip/seqnum"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	client = netip.MustParseAddrPort("192.0.2.2:40000")
	server = netip.MustParseAddrPort("192.0.2.1:80")
	start  = time.Unix(1000, 0)
)

// iss is such that the numbers wrap within the connection.
var iss, irs = seqnum.Value(0xfffffff0), seqnum.Value(7000)

// script makes the events of a connection.
type script struct{ events []relay.Event }

func (s *script) see(at float64, d relay.Direction, p relay.Place, f relay.Fate, b []byte) {
	s.events = append(s.events, relay.Event{
		At: start.Add(time.Duration(at * float64(time.Millisecond))), Direction: d, Place: p, Fate: f, Bytes: b,
	})
}

// down is a packet of the client that leaves and, unless arrived is negative,
// comes to the wire.
func (s *script) down(left, arrived float64, fate relay.Fate, flags seg.Flags, seq, ack seqnum.Value, options []byte, payload string) {
	b := packet(client, server, flags, seq, ack, options, payload)
	if fate == relay.Lost {
		s.see(left, relay.Down, relay.AtStack, relay.Lost, b)
		return
	}
	s.see(left, relay.Down, relay.AtStack, relay.Passed, b)
	if arrived >= 0 {
		s.see(arrived, relay.Down, relay.AtWire, fate, b)
	}
}

func (s *script) up(left, arrived float64, flags seg.Flags, seq, ack seqnum.Value, options []byte, payload string) {
	b := packet(server, client, flags, seq, ack, options, payload)
	s.see(left, relay.Up, relay.AtWire, relay.Passed, b)
	if arrived >= 0 {
		s.see(arrived, relay.Up, relay.AtStack, relay.Passed, b)
	}
}

func packet(from, to netip.AddrPort, flags seg.Flags, seq, ack seqnum.Value, options []byte, payload string) []byte {
	return seg.Make(seg.Fields{
		Src: from, Dst: to, Flags: flags, Seq: seq, Ack: ack, Window: 65535, Options: options, Payload: []byte(payload),
	}).Bytes()
}

var (
	request = []byte{34, 2, 1, 1}
	cookie  = []byte{34, 6, 0xc0, 0x0c, 0x1e, 0x55, 1, 1}
)

// opened is Fast Open as it should be.
func opened() *script {
	s := &script{}
	s.down(0, 20, relay.Passed, seg.SYN, iss, 0, cookie, "twenty bytes of text")
	s.up(20.3, 40.4, seg.SYN|seg.ACK, irs, iss+21, nil, "")
	s.up(20.4, 40.5, seg.ACK|seg.PSH, irs+1, iss+21, nil, "answer")
	s.down(40.6, 60.7, relay.Passed, seg.ACK, iss+21, irs+7, nil, "")
	s.down(41, -1, relay.Passed, seg.FIN|seg.ACK, iss+21, irs+7, nil, "")
	return s
}

// troubled has everything that can happen to a packet.
func troubled() *script {
	s := &script{}
	s.down(0, 20, relay.Dropped, seg.SYN, iss, 0, request, "ab")
	s.down(1000, 1020, relay.Passed, seg.SYN, iss, 0, nil, "")
	s.up(1020.1, 1040.2, seg.SYN|seg.ACK, irs, iss+1, cookie, "")
	s.down(1040.3, 0, relay.Lost, seg.ACK, iss+1, irs+1, nil, "")
	b := packet(server, client, seg.ACK, irs+1, iss+1, nil, "lost")
	s.see(1041, relay.Up, relay.AtWire, relay.Passed, b)
	s.see(1041, relay.Up, relay.AtWire, relay.Lost, b)
	s.see(1042, relay.Up, relay.AtWire, relay.Dropped, packet(server, client, seg.ACK, irs+5, iss+1, nil, "x"))
	s.see(1043, relay.Up, relay.AtWire, relay.Made, packet(server, client, seg.RST, irs+6, 0, nil, ""))
	s.see(1044, relay.Down, relay.AtWire, relay.Made, packet(client, server, seg.RST, iss+1, 0, nil, ""))
	s.up(1045, -1, seg.FIN|seg.ACK, irs+6, iss+1, nil, "")
	return s
}

func trace(s *script) ladder.Trace { return ladder.New(s.events, client) }

// The golden files show what a person gets to see. To make them anew after a
// wanted change, run with UPDATE_GOLDEN=1 and read them.
func TestDraw(t *testing.T) {
	for name, s := range map[string]*script{"opened": opened(), "troubled": troubled()} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			if err := trace(s).Draw(&got, "wskstack", "linux-kernel"); err != nil {
				t.Fatal(err)
			}
			golden(t, name, got.String())
		})
	}
}

// golden compares a drawing with the file of that name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// All lines of a ladder have one width, whatever their packets are.
func TestRungsAreStraight(t *testing.T) {
	for _, s := range []*script{opened(), troubled()} {
		var out strings.Builder
		if err := trace(s).Draw(&out, "left", "right"); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
		for _, l := range lines {
			if len(l) != len(lines[0]) {
				t.Errorf("%d columns instead of %d: %q", len(l), len(lines[0]), l)
			}
		}
	}
}

func TestFactsOfAnOpenedConnection(t *testing.T) {
	tr := trace(opened())
	if n := tr.BytesInSYN(); n != 20 {
		t.Errorf("%d bytes in the SYN", n)
	}
	if n := tr.BytesAcceptedInSYN(); n != 20 {
		t.Errorf("%d bytes accepted", n)
	}
	if o, ok := tr.Option(true); !ok || o.Cookie.String() != "c00c1e55" {
		t.Errorf("option %v %v", o, ok)
	}
	if _, ok := tr.Option(false); ok {
		t.Error("an option in a SYN-ACK that has none")
	}
	if !tr.Reached() || tr.SYNs() != 1 || tr.LastSYNIsPlain() {
		t.Errorf("reached %v, %d SYNs, plain %v", tr.Reached(), tr.SYNs(), tr.LastSYNIsPlain())
	}
	if n := tr.Payload(true); n != 20 {
		t.Errorf("%d bytes from the client", n)
	}
	if d, ok := tr.FirstAnswer(); !ok || d != 40500*time.Microsecond {
		t.Errorf("first answer at %v, %v", d, ok)
	}
}

func TestFactsOfATroubledConnection(t *testing.T) {
	tr := trace(troubled())
	if tr.BytesInSYN() != 2 || tr.BytesAcceptedInSYN() != 0 {
		t.Errorf("%d bytes in the SYN, %d accepted", tr.BytesInSYN(), tr.BytesAcceptedInSYN())
	}
	if o, ok := tr.Option(true); !ok || !o.Cookie.Empty() {
		t.Errorf("the request is not seen: %v %v", o, ok)
	}
	if o, ok := tr.Option(false); !ok || o.Cookie.Empty() {
		t.Errorf("the granted cookie is not seen: %v %v", o, ok)
	}
	if tr.Reached() || tr.SYNs() != 2 || !tr.LastSYNIsPlain() {
		t.Errorf("reached %v, %d SYNs, plain %v", tr.Reached(), tr.SYNs(), tr.LastSYNIsPlain())
	}
	if d, ok := tr.FirstAnswer(); ok {
		t.Errorf("an answer that never came, at %v", d)
	}
}

// An answer to another SYN, or a lying one, is not taken for an acceptance.
func TestAcknowledgmentBeyondTheSYNCountsNothing(t *testing.T) {
	s := &script{}
	s.down(0, 20, relay.Passed, seg.SYN, iss, 0, cookie, "ab")
	s.up(20, 40, seg.SYN|seg.ACK, irs, iss+100, nil, "")
	if n := trace(s).BytesAcceptedInSYN(); n != 0 {
		t.Errorf("%d bytes accepted", n)
	}
}

func TestOtherConnectionsAndOtherPacketsAreLeftOut(t *testing.T) {
	s := opened()
	s.see(50, relay.Down, relay.AtStack, relay.Passed, packet(netip.MustParseAddrPort("192.0.2.2:40001"), server, seg.SYN, 1, 0, nil, ""))
	s.see(51, relay.Down, relay.AtStack, relay.Passed, []byte("no packet"))
	if n := len(trace(s).Packets); n != 5 {
		t.Errorf("%d packets", n)
	}
	empty := ladder.New(nil, client)
	if empty.SYNs() != 0 || empty.BytesInSYN() != 0 || empty.Reached() {
		t.Error("facts of nothing")
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestDrawTellsThatItCannotWrite(t *testing.T) {
	if err := trace(opened()).Draw(broken{}, "a", "b"); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

// fromWire is Fast Open with the server above the relay.
func fromWire() *script {
	s := &script{}
	s.up(0, 20, seg.SYN, irs, 0, cookie, "twenty bytes of text")
	s.down(20.3, 40.4, relay.Passed, seg.SYN|seg.ACK, iss, irs+21, nil, "")
	s.down(20.4, 40.5, relay.Passed, seg.ACK|seg.PSH, iss+1, irs+21, nil, "answer")
	s.up(40.6, 60.7, seg.ACK, irs+21, iss+1, nil, "")
	s.down(61, -1, relay.Passed, seg.FIN|seg.ACK, iss+7, irs+21, nil, "")
	return s
}

// A client at the wire's end has its own side of the ladder, and its own facts.
func TestClientAtTheWire(t *testing.T) {
	tr := ladder.NewFromWire(fromWire().events, server) // who is the client here
	var got strings.Builder
	if err := tr.Draw(&got, "linux-kernel", "wskstack"); err != nil {
		t.Fatal(err)
	}
	golden(t, "fromwire", got.String())
	if tr.BytesInSYN() != 20 || tr.BytesAcceptedInSYN() != 20 || tr.SYNs() != 1 || !tr.Reached() || tr.Payload(true) != 20 {
		t.Errorf("%d in the SYN, %d accepted, %d SYNs", tr.BytesInSYN(), tr.BytesAcceptedInSYN(), tr.SYNs())
	}
	if at, ok := tr.FirstAnswer(); !ok || at != 40500*time.Microsecond {
		t.Errorf("first answer after %v, %v", at, ok)
	}
	if lead, before := tr.AnsweredBeforeACK(); !before || lead != 40300*time.Microsecond {
		t.Errorf("answered %v before the ACK, %v", lead, before)
	}
	// What the middlebox makes is at the wire's end, where the client is.
	s := &script{}
	s.up(0, 20, seg.SYN, irs, 0, nil, "")
	s.see(21, relay.Down, relay.AtWire, relay.Made, packet(client, server, seg.RST, iss, 0, nil, ""))
	made := ladder.NewFromWire(s.events, server).Packets[1]
	if made.FromClient || !made.Arrived || made.AtClient != 21*time.Millisecond {
		t.Errorf("%+v", made)
	}
}

// An answer that the ACK preceded, or one of the two that was not seen, proves
// nothing.
func TestAnsweredBeforeACKCanBeFalse(t *testing.T) {
	good := fromWire().events
	for name, events := range map[string][]relay.Event{
		"no answer":      good[:4],
		"no ACK":         good[:6],
		"ACK on its way": good[:7],
	} {
		if lead, before := ladder.NewFromWire(events, server).AnsweredBeforeACK(); before {
			t.Errorf("%s: %v", name, lead)
		}
	}
	s := &script{}
	s.up(0, 20, seg.SYN, irs, 0, nil, "")
	s.down(20.3, 40.4, relay.Passed, seg.SYN|seg.ACK, iss, irs+1, nil, "")
	s.up(40.6, 60.7, seg.ACK, irs+1, iss+1, nil, "twenty bytes of text")
	s.down(61, 81, relay.Passed, seg.ACK|seg.PSH, iss+1, irs+21, nil, "answer")
	if lead, before := ladder.NewFromWire(s.events, server).AnsweredBeforeACK(); before {
		t.Errorf("an ordinary connection: %v", lead)
	}
}

// Round trips are counted from what had come to an end when something left it.
func TestRoundTrips(t *testing.T) {
	plain, late, alone, request, behind := &script{}, &script{}, &script{}, &script{}, &script{}
	for _, s := range []*script{plain, request} {
		s.down(0, 20, relay.Passed, seg.SYN, iss, 0, nil, "")
		s.up(20.3, 40.4, seg.SYN|seg.ACK, irs, iss+1, nil, "")
		s.down(40.6, 60.7, relay.Passed, seg.ACK, iss+1, irs+1, nil, "")
		s.down(40.7, 60.8, relay.Passed, seg.ACK|seg.PSH, iss+1, irs+1, nil, "question")
	}
	plain.up(61, 81, seg.ACK|seg.PSH, irs+1, iss+9, nil, "answer")
	// A server that is so slow that the client's ACK has come cannot be told from one
	// that has waited for it.
	late.down(0, 20, relay.Passed, seg.SYN, iss, 0, cookie, "question")
	late.up(20.3, 40.4, seg.SYN|seg.ACK, irs, iss+9, nil, "")
	late.down(40.6, 60.7, relay.Passed, seg.ACK, iss+9, irs+1, nil, "")
	late.up(61, 81, seg.ACK|seg.PSH, irs+1, iss+9, nil, "answer")
	// What is dropped leads to nothing.
	alone.down(0, 20, relay.Passed, seg.SYN, iss, 0, cookie, "question")
	alone.up(20.3, 40.4, seg.SYN|seg.ACK, irs, iss+9, nil, "")
	alone.down(40.6, 60.7, relay.Dropped, seg.ACK, iss+9, irs+1, nil, "")
	alone.up(61, 81, seg.ACK|seg.PSH, irs+1, iss+9, nil, "answer")
	behind.down(0, 20, relay.Dropped, seg.SYN, iss, 0, cookie, "question")
	behind.down(1000, 1020, relay.Passed, seg.SYN, iss, 0, nil, "")
	behind.up(1020.3, 1040.4, seg.SYN|seg.ACK, irs, iss+1, nil, "")
	behind.down(1040.6, 1060.7, relay.Passed, seg.ACK|seg.PSH, iss+1, irs+1, nil, "question")
	behind.up(1061, 1081, seg.ACK|seg.PSH, irs+1, iss+9, nil, "answer")
	for name, c := range map[string]struct {
		trace ladder.Trace
		want  int
	}{
		"with the SYN":          {trace(opened()), 1},
		"seen from the server":  {ladder.NewFromWire(fromWire().events, server), 1},
		"after the handshake":   {trace(plain), 2},
		"after the ACK":         {trace(late), 2},
		"after a dropped ACK":   {trace(alone), 1},
		"after a dropped SYN":   {trace(behind), 2},
		"no answer":             {trace(request), 0},
		"none that has arrived": {trace(troubled()), 0},
		"nothing":               {ladder.Trace{}, 0},
	} {
		if got := c.trace.RoundTrips(); got != c.want {
			t.Errorf("%s: %d round trips, want %d", name, got, c.want)
		}
	}
}
