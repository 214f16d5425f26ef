package irp

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in brings an IRP into a state by its public life, with its request if there
// is one.
func in(t *testing.T, s State, routine CompletionRoutine, hook func()) (*IRP, Request) {
	t.Helper()
	i := New(routine, "context")
	if s == Marked || s == Cancelling {
		i.Cancel()
	}
	var r Request
	if s == Pending || s == Cancelling || s == Completed {
		var st ntstatus.Status
		if r, st = Submit(i, hook); st != ntstatus.Success {
			t.Fatalf("Submit: %v", st)
		}
	}
	if s == Completed {
		r.Complete(StatusBlock{Status: ntstatus.Success, Information: 7})
	}
	if s == Freed {
		i.Free()
	}
	if i.State() != s {
		t.Fatalf("set up as %v, want %v", i.State(), s)
	}
	return i, r
}

// TestEveryCell walks the table against the expectation written out here, once
// through Next and once through the methods of a real IRP.
func TestEveryCell(t *testing.T) {
	const no = numStates
	want := [numStates][numEvents]State{
		//           Submit      Complete   Cancel      Reuse  Free
		Idle:       {Pending, no, Marked, Idle, Freed},
		Marked:     {Cancelling, no, Marked, Idle, Freed},
		Pending:    {no, Completed, Cancelling, no, no},
		Cancelling: {no, Completed, Cancelling, no, no},
		Completed:  {no, no, Completed, Idle, Freed},
		Freed:      {no, no, no, no, no},
	}
	for s := range numStates {
		for e := range numEvents {
			t.Run(fmt.Sprintf("%v/%v", s, e), func(t *testing.T) {
				expected, legal := want[s][e], want[s][e] != no
				if !legal {
					expected = s
				}
				if next, ok := Next(s, e); next != expected || ok != legal {
					t.Fatalf("Next = %v, %v, want %v, %v", next, ok, expected, legal)
				}
				routines, hooks := 0, 0
				i, r := in(t, s, func(*IRP, any) { routines++ }, func() { hooks++ })
				before := routines
				var took bool
				switch e {
				case EventSubmit:
					_, st := Submit(i, nil)
					took = st == ntstatus.Success
				case EventComplete:
					took = r.Complete(StatusBlock{Status: ntstatus.Success})
				case EventCancel:
					told := i.Cancel()
					if told != (s == Pending) || (hooks == 1) != told {
						t.Errorf("Cancel = %v, hook called %d times", told, hooks)
					}
					took = legal // Cancel never says that it was refused
				case EventReuse:
					took = i.Reuse(ntstatus.Unsuccessful) == ntstatus.Success
				case EventFree:
					took = i.Free() == ntstatus.Success
				}
				if took != legal || i.State() != expected {
					t.Errorf("took %v, state %v; want %v, %v", took, i.State(), legal, expected)
				}
				if ran := routines - before; (ran == 1) != (e == EventComplete && legal) || ran > 1 {
					t.Errorf("the routine ran %d times", ran)
				}
			})
		}
	}
	if _, legal := Next(numStates, EventSubmit); legal {
		t.Error("an event is legal in a state that does not exist")
	}
}

func TestResultAndReuse(t *testing.T) {
	var got []StatusBlock
	var routine CompletionRoutine
	routine = func(i *IRP, context any) {
		if context != "c" {
			t.Errorf("context %v", context)
		}
		got = append(got, i.IoStatus())
		if len(got) > 3 {
			return
		}
		// From inside the routine: reuse and submit again.
		if i.SetCompletionRoutine(routine, "c") != ntstatus.InvalidDeviceState {
			t.Error("a completed IRP took a new routine without Reuse")
		}
		i.Reuse(ntstatus.Unsuccessful)
		if st := i.IoStatus().Status; st != ntstatus.Unsuccessful || i.PendingReturned() {
			t.Errorf("after Reuse: %v, PendingReturned %v", st, i.PendingReturned())
		}
		i.SetCompletionRoutine(routine, "c")
		r, st := Submit(i, nil)
		if st != ntstatus.Success {
			t.Fatalf("Submit from the routine: %v", st)
		}
		r.MarkPending()
		if r.Cancelled() {
			t.Error("a cancel mark survived Reuse")
		}
		r.Complete(StatusBlock{Status: ntstatus.Success, Information: uintptr(len(got))})
		if r.Complete(StatusBlock{}) {
			t.Error("completed twice")
		}
	}
	i := New(routine, "c")
	i.Cancel()
	r, _ := Submit(i, nil)
	if !r.Cancelled() {
		t.Error("the mark of an early Cancel is lost")
	}
	r.Complete(StatusBlock{Status: ntstatus.Cancelled})
	if len(got) != 4 || got[0].Status != ntstatus.Cancelled || got[3].Information != 3 {
		t.Errorf("results %v", got)
	}
	if !i.PendingReturned() {
		t.Error("PendingReturned is lost")
	}
}

func TestRoutineGoneAfterReuse(t *testing.T) {
	calls := 0
	i := New(func(*IRP, any) { calls++ }, nil)
	r, _ := Submit(i, nil)
	r.Complete(StatusBlock{})
	i.Reuse(ntstatus.Success)
	r, _ = Submit(i, nil)
	r.Complete(StatusBlock{})
	if calls != 1 {
		t.Errorf("the routine ran %d times, want 1: Reuse clears it", calls)
	}
}

func TestNil(t *testing.T) {
	var i *IRP
	if i.Cancel() || i.Free().Success() || i.Reuse(0).Success() || i.SetCompletionRoutine(nil, nil).Success() {
		t.Error("a nil IRP was taken for one")
	}
	if i.IoStatus().Status.Success() || i.PendingReturned() || i.State() != Freed {
		t.Error("a nil IRP has a life")
	}
	if _, st := Submit(nil, nil); st != ntstatus.InvalidParameter {
		t.Errorf("Submit(nil) = %v", st)
	}
	var r Request
	r.MarkPending()
	if r.Complete(StatusBlock{}) || r.Cancelled() {
		t.Error("the zero Request completed something")
	}
}

// TestRace completes and cancels each IRP from several goroutines at once.
func TestRace(t *testing.T) {
	covers.IDs(t, "P1")
	for range 2000 {
		var completed, hooks atomic.Int32
		i := New(func(*IRP, any) { completed.Add(1) }, nil)
		r, _ := Submit(i, func() { hooks.Add(1) })
		var wg sync.WaitGroup
		var won atomic.Int32
		for range 2 {
			wg.Go(func() {
				if r.Complete(StatusBlock{Status: ntstatus.Success}) {
					won.Add(1)
				}
			})
			wg.Go(func() { i.Cancel() })
		}
		wg.Wait()
		if completed.Load() != 1 || won.Load() != 1 || hooks.Load() > 1 {
			t.Fatalf("completed %d times, won %d, hook %d", completed.Load(), won.Load(), hooks.Load())
		}
	}
}

// lateHook completes an IRP and hands it in anew while a cancel is on its way.
type lateHook struct {
	first, second Request
	i             *IRP
	done          bool
}

func (l *lateHook) Happened(event Event, _ State, taken bool) {
	if event != EventCancel || !taken || l.done {
		return
	}
	l.done = true
	l.first.Complete(StatusBlock{Status: ntstatus.Success})
	l.i.Reuse(ntstatus.Unsuccessful)
	l.second, _ = Submit(l.i, func() {})
}

func (*lateHook) Routine(StatusBlock, bool, bool) func() { return func() {} }

func (*lateHook) Read(State, bool) {}

// TestHooked: a cancel is a request's own when its hook is called, and one that comes too
// late is none of the next request's.
func TestHooked(t *testing.T) {
	i := New(nil, nil)
	called := false
	r, _ := Submit(i, func() { called = true })
	if r.Hooked() || (Request{}).Hooked() {
		t.Error("hooked without a cancel")
	}
	i.Cancel()
	if !called || !r.Hooked() {
		t.Errorf("cancelled: called %v, hooked %v", called, r.Hooked())
	}
	l := &lateHook{i: New(nil, nil)}
	l.i.Watch(l)
	l.first, _ = Submit(l.i, func() {})
	l.i.Cancel()
	if !l.done || l.second.Hooked() || l.second.Cancelled() {
		t.Errorf("the next request: hooked %v, cancelled %v", l.second.Hooked(), l.second.Cancelled())
	}
}
