package verifier

import (
	"strings"
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// A toy provider breaks each of the provider's rules, and keeps it: it tells the
// verifier what wsk would.
type toy struct {
	o observer
	s *wsk.Observed
}

func (y *toy) enter(i *irp.IRP, function string) *wsk.Call {
	c := &wsk.Call{Function: function, Socket: y.s, IRP: i}
	y.o.Enter(c)
	return c
}

// pend takes an IRP, as a call that pends.
func (y *toy) pend(i *irp.IRP, mark bool) irp.Request {
	c := y.enter(i, "Receive")
	r, _ := irp.Submit(i, nil)
	if mark {
		r.MarkPending()
	}
	y.o.Leave(c, ntstatus.Pending)
	return r
}

// fails takes an IRP, as a call that completes it at once with status.
func (y *toy) fails(returns, status ntstatus.Status, complete bool) {
	i := irp.New(nil, nil)
	c := y.enter(i, "Receive")
	r, _ := irp.Submit(i, nil)
	if complete {
		r.Complete(irp.StatusBlock{Status: status})
	}
	y.o.Leave(c, returns)
}

var done = irp.StatusBlock{Status: ntstatus.Success}

// fill is a request whose buffer is filled, and perhaps once more when it is over.
func (y *toy) fill(again bool) {
	i := irp.New(nil, nil)
	c := y.enter(i, "Receive")
	r, _ := irp.Submit(i, nil)
	r.MarkPending()
	mine := y.o.Memory(c, [][]byte{make([]byte, 4), make([]byte, 4)}, true)
	y.o.Leave(c, ntstatus.Pending)
	copy(mine[0], "abcd")
	y.o.Completing(c, irp.StatusBlock{Status: ntstatus.Success, Information: 4})
	r.Complete(done)
	if again {
		mine[0][5]++
	}
	y.o.v.Check()
}

// nested is a callback, with a routine inside it or after it.
func (y *toy) nested(inside bool) {
	r := y.pend(irp.New(nil, nil), true)
	e := &wsk.Callback{Event: wsk.EventDisconnect, Socket: y.s}
	y.o.Callback(e)
	if inside {
		r.Complete(done)
	}
	y.o.Answered(e)
	r.Complete(done)
}

func TestProviderRules(t *testing.T) {
	for _, tt := range []struct {
		id, name  string
		bad, good func(y *toy)
	}{
		{
			"M1", "completed twice",
			func(y *toy) { r := y.pend(irp.New(nil, nil), true); r.Complete(done); r.Complete(done) },
			func(y *toy) { y.pend(irp.New(nil, nil), true).Complete(done) },
		},
		{
			"M1", "never completed",
			func(y *toy) { y.pend(irp.New(nil, nil), true); y.o.Socket(y.s, false) },
			func(y *toy) { y.pend(irp.New(nil, nil), true).Complete(done); y.o.Socket(y.s, false) },
		},
		{
			"M2", "pended and not marked",
			func(y *toy) { y.pend(irp.New(nil, nil), false).Complete(done) },
			func(y *toy) { y.pend(irp.New(nil, nil), true).Complete(done) },
		},
		{
			"M2", "returned before the completion",
			func(y *toy) { y.fails(ntstatus.Unsuccessful, ntstatus.Unsuccessful, false) },
			func(y *toy) { y.fails(ntstatus.Unsuccessful, ntstatus.Unsuccessful, true) },
		},
		{"M3", "buffer filled late", func(y *toy) { y.fill(true) }, func(y *toy) { y.fill(false) }},
		{"M4", "routine inside a callback", func(y *toy) { y.nested(true) }, func(y *toy) { y.nested(false) }},
		{
			"M5", "callback after the close",
			func(y *toy) { y.o.Socket(y.s, false); y.nested(false) },
			func(y *toy) { y.nested(false); y.o.Socket(y.s, false) },
		},
		{
			"M6", "another status",
			func(y *toy) { y.fails(ntstatus.Unsuccessful, ntstatus.Cancelled, true) },
			func(y *toy) { y.fails(ntstatus.Unsuccessful, ntstatus.Unsuccessful, true) },
		},
	} {
		t.Run(tt.id+"/"+tt.name, func(t *testing.T) {
			for run, body := range map[string]func(*toy){"bad": tt.bad, "good": tt.good} {
				v, err := New(Config{Policy: ProviderOnly})
				if err != nil {
					t.Fatal(err)
				}
				y := &toy{observer{v}, &wsk.Observed{Category: "connection"}}
				y.o.Socket(y.s, true)
				body(y)
				if got := v.Counts(); (run == "bad") != (got[tt.id] > 0) || run == "good" && len(got) > 0 {
					t.Errorf("%s: reported %v", run, got)
				}
			}
		})
	}
}

// The reading of what the runtime writes.
func TestParseDump(t *testing.T) {
	if parseGoroutine("goroutine 4711 [running]:") != 4711 || parseGoroutine("nonsense") != 0 {
		t.Error("the number of a goroutine is not read")
	}
	got := parseWaits("goroutine 1 [running]:\nmain.f()\n\ngoroutine 22 [chan receive, 2 minutes]:\n" +
		"goroutine 3 [select (durable), synctest bubble 1]:\ngoroutine 4 [IO wait]:\ngoroutine 5 [sync.Mutex.Lock]:\ngoroutine bad\n")
	if len(got) != 3 || got[22] != "chan receive" || !strings.HasPrefix(got[3], "select") || got[5] != "sync.Mutex.Lock" {
		t.Errorf("read %v", got)
	}
}

// FuzzParseDump has no text that the reading stumbles over, nor one from which it reads
// a goroutine without its state.
func FuzzParseDump(f *testing.F) {
	f.Add("goroutine 22 [chan receive, 2 minutes]:\nmain.f()\n")
	f.Add("goroutine 99999999999999999999999 [select")
	f.Add("goroutine [")
	f.Fuzz(func(t *testing.T, dump string) {
		for _, state := range parseWaits(dump) {
			if state == "" || !strings.Contains(dump, state) {
				t.Errorf("read %q", state)
			}
		}
	})
}

// A history keeps its first moment and the latest.
func TestHistoryKeepsTheFirstMoment(t *testing.T) {
	var h history
	h.add("made", trace{})
	for range 3 * historyDepth {
		h.add("used", trace{})
	}
	h.add("freed", trace{})
	if got := h.readable(); len(got) != historyDepth || got[0].What != "made" || got[historyDepth-1].What != "freed" {
		t.Errorf("kept %d: %v ... %v", len(got), got[0].What, got[len(got)-1].What)
	}
}
