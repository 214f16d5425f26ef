package demo

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/ladder"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/wire"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestMain fails the run if a goroutine or a packet buffer is left.
func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if code == 0 {
			refs.DoLeakCheck()
		}
		os.Exit(code)
	}))
}

// The demo in memory needs nothing of the machine, so it runs everywhere.
func TestDemoInMemory(t *testing.T) {
	for _, family := range []int{4, 6} {
		t.Run(report.Family(family), func(t *testing.T) {
			t.Parallel()
			var text strings.Builder
			o := Options{Wire: "memory", Family: family, Delay: DefaultDelay}
			d, err := Run(t.Context(), o, nil, &Text{W: &text})
			if err != nil {
				t.Fatalf("%v\n%s", err, text.String())
			}
			if !d.OK || d.Wire != "memory" || d.Peer != peerSelf || len(d.Runs) != 7 {
				t.Errorf("ok %v, wire %s, peer %s, %d runs\n%s", d.OK, d.Wire, d.Peer, len(d.Runs), text.String())
			}
			for _, r := range d.Runs {
				if r.Family != report.Family(family) {
					t.Errorf("%s ran over %s", r.Name, r.Family)
				}
			}
			for _, want := range []string{"verdict", "claims hold", "SYN, seq 0, len 64, cookie ", "cookie request", "X dropped on the path", "1 round trip (fastest of", "the request was read before the handshake was over"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("no %q in\n%s", want, text.String())
				}
			}
		})
	}
}

func TestOptionsCheck(t *testing.T) {
	good := Options{Wire: Auto, Family: 4, Delay: DefaultDelay}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for want, o := range map[string]Options{
		"use auto, tun, veth or memory": {Wire: "wifi", Family: 4, Delay: DefaultDelay},
		"use 4 or 6":                    {Wire: Auto, Family: 5, Delay: DefaultDelay},
		"use 5ms to 400ms":              {Wire: Auto, Family: 4, Delay: time.Millisecond},
		"more runs into TCP's timeout":  {Wire: Auto, Family: 4, Delay: time.Second},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

// Without a namespace only the wire in memory is left, and the reason is told.
func TestWireWithoutNamespace(t *testing.T) {
	barred := errors.Join(netns.ErrPrivilege)
	w, why, err := openWire(Auto, barred)
	if err != nil {
		t.Fatal(err)
	}
	if w.Kind != wire.Memory || why != "not tun: not permitted here; not veth: the same" {
		t.Errorf("wire %s, because %q", w.Kind, why)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := openWire("veth", barred); !errors.Is(err, netns.ErrPrivilege) {
		t.Errorf("a forced wire: %v", err)
	}
}

// The name under which a TUN in a user namespace is reported can be asked for, and
// is a TUN.
func TestReportedWireCanBeAskedFor(t *testing.T) {
	for option, want := range map[string]wire.Kind{"userns-tun": wire.TUN, "tun": wire.TUN, "veth": wire.Veth, "memory": wire.Memory} {
		if err := (Options{Wire: option, Family: 4, Delay: DefaultDelay}).Check(); err != nil {
			t.Error(err)
		}
		if got := kindOf(option); got != want {
			t.Errorf("%s opens %s, want %s", option, got, want)
		}
	}
}

func TestCaptureThatCannotBeWritten(t *testing.T) {
	o := Options{Wire: "memory", Family: 4, Delay: DefaultDelay, Pcap: t.TempDir() + "/no/such/directory"}
	if _, err := Run(t.Context(), o, nil, &Text{W: &strings.Builder{}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// A demo that is interrupted says why, and leaves nothing (TestMain looks).
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	o := Options{Wire: "memory", Family: 4, Delay: DefaultDelay}
	_, err := Run(ctx, o, nil, &interrupter{Text{W: &strings.Builder{}}, func() { cancel(interrupted) }})
	if !errors.Is(err, interrupted) {
		t.Errorf("got %v", err)
	}
}

// interrupter is a listener that interrupts after the first run.
type interrupter struct {
	Text
	stop func()
}

func (i *interrupter) Ran(s Shown) { i.Text.Ran(s); i.stop() }

// Each claim turns false when what it says is not so.
func TestClaimsCanBeFalse(t *testing.T) {
	const rtt = 40 * time.Millisecond
	run := func(ms float64, trips int) report.Run {
		return report.Run{Name: "r", TTFBms: ms, RoundTrips: trips, Bytes: 10, BytesInSYN: 10, BytesAcceptedInSYN: 10}
	}
	judged := func(f func(*verdict)) bool {
		var v verdict
		f(&v)
		return v.ok()
	}
	for name, c := range map[string]struct {
		want  bool
		judge func(*verdict)
	}{
		"nothing claimed":          {false, func(*verdict) {}},
		"one round trip":           {true, func(v *verdict) { v.takes(result{Run: run(41, 1), trips: 1}, 1, rtt) }},
		"too slow":                 {false, func(v *verdict) { v.takes(result{Run: run(47, 1), trips: 1}, 1, rtt) }},
		"too fast":                 {false, func(v *verdict) { v.takes(result{Run: run(33, 1), trips: 1}, 1, rtt) }},
		"two instead of one":       {false, func(v *verdict) { v.takes(result{Run: run(81, 2), trips: 2}, 1, rtt) }},
		"two on the packet log":    {false, func(v *verdict) { v.takes(result{Run: run(41, 1), trips: 2}, 1, rtt) }},
		"none on the packet log":   {false, func(v *verdict) { v.takes(result{Run: run(41, 1)}, 1, rtt) }},
		"nothing seen, Fast Open":  {false, func(v *verdict) { v.opened(result{Run: run(41, 1), parts: []part{{}}}, rtt) }},
		"nothing seen, request":    {false, func(v *verdict) { v.requested(result{Run: run(81, 2), parts: []part{{}}}, rtt) }},
		"nothing seen, fallback":   {false, func(v *verdict) { v.fellBack(result{Run: run(1, 1), parts: []part{{}, {}}}, result{}) }},
		"bytes in a plain SYN":     {false, func(v *verdict) { v.plain(result{Run: run(81, 2), parts: []part{{}}}, rtt) }},
		"large, wholly in the SYN": {false, func(v *verdict) { v.openedLarge(result{Run: run(81, 2), parts: []part{{}}}, rtt) }},
		"cancelled":                {true, func(v *verdict) { v.cancelledCleanly(wasCancelled()) }},
		"completed twice":          {false, func(v *verdict) { c := wasCancelled(); c.completions = 2; v.cancelledCleanly(c) }},
		"completed inline":         {false, func(v *verdict) { c := wasCancelled(); c.pended = false; v.cancelledCleanly(c) }},
		"completed otherwise":      {false, func(v *verdict) { c := wasCancelled(); c.status = ntstatus.Success; v.cancelledCleanly(c) }},
		"dead after the cancel":    {false, func(v *verdict) { c := wasCancelled(); c.connected = errors.New("no"); v.cancelledCleanly(c) }},
		"nothing counted":          {false, func(v *verdict) { v.counted("k", kernelpeer.Counters{}, nil, nil) }},
		"counted what was not there": {false, func(v *verdict) {
			v.counted("k", kernelpeer.Counters{Passive: 1, CookieReqd: 1, Active: 1}, []ladder.Trace{{}}, []ladder.Trace{{}})
		}},
		"nothing seen, server": {false, func(v *verdict) {
			before := true
			s := served{result: result{Run: run(41, 1), parts: []part{{}}}, inSYN: true, lead: 1}
			s.AcceptedBeforeACK = &before
			v.servedEarly(s, rtt)
		}},
	} {
		if got := judged(c.judge); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// inMemory is a rig that the test closes.
func inMemory(t *testing.T) *rig {
	t.Helper()
	w, _, err := openWire("memory", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := build(w, Options{Wire: "memory", Family: 4, Delay: DefaultDelay})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// What is claimed of the runs with Fast Open, and of the counters, is false if one of the
// things that it rests on is.
func TestClientClaimsCanBeFalse(t *testing.T) {
	r := inMemory(t)
	before, err := r.peer.counters()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.cookieRequest(t.Context()); err != nil {
		t.Fatal(err)
	}
	small, err := r.fastOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	large, err := r.fastOpenLarge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		want   bool
		change func(*result)
	}{
		"as it was":           {true, func(*result) {}},
		"a part was taken":    {false, func(r *result) { r.BytesAcceptedInSYN-- }},
		"a byte came twice":   {false, func(r *result) { r.parts[0].trace = twice(r.parts[0].trace) }},
		"three on the log":    {false, func(r *result) { r.trips = 3 }},
		"three by their time": {false, func(r *result) { r.RoundTrips = 3 }},
	} {
		for good, judge := range map[*result]func(*verdict, result, time.Duration){&small: (*verdict).opened, &large: (*verdict).openedLarge} {
			res := *good
			res.parts = slices.Clone(good.parts)
			c.change(&res)
			var v verdict
			judge(&v, res, r.rtt())
			if v.ok() != c.want {
				t.Errorf("%s, %s: %v, want %v: %+v", good.Name, name, v.ok(), c.want, v.claims)
			}
		}
	}
	if _, err := r.serverFastOpen(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := r.peer.counters()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*kernelpeer.Counters){
		"":         func(*kernelpeer.Counters) {},
		"active":   func(c *kernelpeer.Counters) { c.Active++ },
		"passive":  func(c *kernelpeer.Counters) { c.Passive-- },
		"requests": func(c *kernelpeer.Counters) { c.CookieReqd++ },
		"failed":   func(c *kernelpeer.Counters) { c.PassiveFail++ },
		"overflow": func(c *kernelpeer.Counters) { c.ListenOverflow++ },
	} {
		got := after.Since(before)
		change(&got)
		var v verdict
		v.counted(r.peer.name(), got, r.traces, r.served)
		if v.ok() != (name == "") {
			t.Errorf("%q: %v: %+v", name, v.ok(), v.claims)
		}
	}
}

// twice is a trace in which the client's first payload crossed the wire twice.
func twice(t ladder.Trace) ladder.Trace {
	for _, p := range t.Packets {
		if p.FromClient && len(p.Segment.Payload()) > 0 {
			t.Packets = append(slices.Clone(t.Packets), p)
			break
		}
	}
	return t
}

// What is claimed of the run in which the stack is the server is false if one of the
// things that it rests on is.
func TestServerClaimsCanBeFalse(t *testing.T) {
	r := inMemory(t)
	good, err := r.serverFastOpen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	no := false
	for name, c := range map[string]struct {
		want   bool
		change func(*served)
	}{
		"as it was":             {true, func(*served) {}},
		"a part came":           {false, func(s *served) { s.BytesInSYN-- }},
		"a part was taken":      {false, func(s *served) { s.BytesAcceptedInSYN-- }},
		"the peer says no":      {false, func(s *served) { s.inSYN = false }},
		"after the ACK":         {false, func(s *served) { s.AcceptedBeforeACK = &no }},
		"not known":             {false, func(s *served) { s.AcceptedBeforeACK = nil }},
		"at the very same time": {false, func(s *served) { s.lead = 0 }},
		"two round trips":       {false, func(s *served) { s.RoundTrips = 2 }},
		"two on the packet log": {false, func(s *served) { s.trips = 2 }},
	} {
		s := good
		c.change(&s)
		var v verdict
		v.servedEarly(s, r.rtt())
		if v.ok() != c.want {
			t.Errorf("%s: %v, want %v: %+v", name, v.ok(), c.want, v.claims)
		}
	}
}

// A busy machine gets more tries, but not for ever, and a quiet one no more than it needs.
func TestTriesGoOnWhileTheMachineIsBusy(t *testing.T) {
	const want, soon = 40 * time.Millisecond, time.Second
	for name, c := range map[string]struct {
		n           int
		best, spent time.Duration
		again       bool
	}{
		"as on a quiet machine":       {tries, 41 * time.Millisecond, soon, false},
		"good enough for the claim":   {tries, 45 * time.Millisecond, soon, true},
		"the same, after many":        {maxTries, 45 * time.Millisecond, soon, false},
		"not good enough, after many": {maxTries, 48 * time.Millisecond, soon, true},
		"too fast is no better":       {maxTries, 30 * time.Millisecond, soon, true},
		"not good enough, too long":   {maxTries, 48 * time.Millisecond, patience, false},
	} {
		if got := again(c.n, c.best, want, c.spent); got != c.again {
			t.Errorf("%s: %v, want %v", name, got, c.again)
		}
	}
}

func wasCancelled() cancelled {
	return cancelled{status: ntstatus.Cancelled, pended: true, completions: 1}
}

// A question is as long as it should be, one line, and no part of it repeats.
func TestRequest(t *testing.T) {
	for _, n := range []int{smallQuestion, largeQuestion} {
		q := request(n)
		if len(q) != n || strings.IndexByte(string(q), '\n') != n-1 {
			t.Errorf("%d bytes for %d, newline at %d", len(q), n, strings.IndexByte(string(q), '\n'))
		}
	}
	q := string(request(largeQuestion))
	if strings.Contains(q[1430:], q[1400:1420]) {
		t.Error("a part of the question comes twice")
	}
}

func TestServiceWantsTheWholeLine(t *testing.T) {
	var out strings.Builder
	if err := serve(strings.NewReader("half a line"), &out); err == nil || out.Len() > 0 {
		t.Errorf("error %v, answer %q", err, out.String())
	}
	if err := check([]byte("a\n"), answer([]byte("b\n"))); err == nil {
		t.Error("another request's answer was taken")
	}
}
