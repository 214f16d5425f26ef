package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Event is an entry of the time line.
type Event struct {
	// At is the time since the run began: virtual time, or real.
	At time.Duration `json:"at_ns"`
	// Step counts from 1.
	Step int `json:"step"`
	// IRP is the IRP's number, in the order of their use from 1; 0 if there is none.
	IRP int `json:"irp,omitempty"`
	// What is "submitted", "pending", "inline", "cancel", "completed", "callback",
	// "peer", "call" or "note".
	What string `json:"what"`
	// Text is the rest: the call, the status, what a callback was told and answered.
	Text string `json:"text"`
}

// timeline collects events. In virtual time those of one instant are put into an order
// that does not depend on the scheduler.
type timeline struct {
	now     func() time.Duration
	virtual bool

	mu     sync.Mutex // a leaf; guards all below
	step   int
	events []entry
}

type entry struct {
	Event
	late bool   // it happened on another goroutine than the scenario's
	of   string // the socket
	seq  int
}

func (l *timeline) begin(step int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step = step
}

// did records what the scenario did.
func (l *timeline) did(irp int, what, format string, args ...any) {
	l.add(entry{Event: Event{IRP: irp, What: what, Text: fmt.Sprintf(format, args...)}})
}

// saw records what happened.
func (l *timeline) saw(of string, irp int, what, format string, args ...any) {
	l.add(entry{Event: Event{IRP: irp, What: what, Text: fmt.Sprintf(format, args...)}, late: true, of: of})
}

func (l *timeline) add(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.At, e.Step, e.seq = l.now(), l.step, len(l.events)
	l.events = append(l.events, e)
}

// all returns the events in order.
func (l *timeline) all() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.virtual {
		slices.SortStableFunc(l.events, compareEntries)
	}
	out := make([]Event, len(l.events))
	for i, e := range l.events {
		out[i] = e.Event
	}
	return out
}

// compareEntries is the order of a time line in virtual time. What happens on several
// goroutines at one instant of a step is put in order by what it is about: IRPs by
// number, callbacks by socket and, since a socket's are serial, as they came.
func compareEntries(a, b entry) int {
	order := cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Step, b.Step), cmp.Compare(a.rank(), b.rank()))
	if order == 0 && a.late {
		order = cmp.Or(cmp.Compare(a.IRP, b.IRP), cmp.Compare(a.of, b.of))
	}
	if order == 0 && a.What == "report" {
		order = cmp.Compare(a.Text, b.Text)
	}
	return cmp.Or(order, cmp.Compare(a.seq, b.seq))
}

// rank sorts what the scenario did before completions, callbacks and reports.
func (e entry) rank() int {
	if !e.late {
		return 0
	}
	return 1 + slices.Index([]string{"completed", "callback", "report"}, e.What)
}

// quote shows bytes, at most the first of them.
func quote(b []byte) string {
	const most = 24
	if len(b) > most {
		return fmt.Sprintf("%q... (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// pattern is what size bytes of data are made of.
func pattern(size int) []byte {
	b := make([]byte, 0, size+16)
	b = append(b, "first bytes"...)
	for i := 0; len(b) < size; i++ {
		b = fmt.Appendf(b, " %d", i)
	}
	return b[:size]
}

// oneLine makes one line of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
