package irp

import "fmt"

// State is where an IRP is in its life.
type State uint8

// The states.
const (
	Idle       State = iota // the client's: new, or made ready again by Reuse
	Marked                  // the client's: cancelled before it was submitted
	Pending                 // the provider's
	Cancelling              // the provider's: cancel was asked for, the operation may still win
	Completed               // the client's: the routine has been called, or is about to be
	Freed                   // nobody's: given back with Free
	numStates
)

// Event is something that happens to an IRP.
type Event uint8

// The events.
const (
	EventSubmit   Event = iota // a call of the provider takes the IRP
	EventComplete              // the provider completes it
	EventCancel                // IoCancelIrp
	EventReuse                 // IoReuseIrp
	EventFree                  // IoFreeIrp
	numEvents
)

// cell is what an event does in a state: refused, or the next state; hook says
// that the operation's cancel hook is called.
type cell struct {
	next  State
	legal bool
	hook  bool
}

// to builds a cell in which the event is legal.
func to(next State) cell { return cell{next: next, legal: true} }

// table is the life cycle as data; it is never written to. An empty cell is the
// caller's fault: the event is refused and nothing changes. Cancel in Completed
// is harmless by the interface's own words, and Cancel in Freed touches nothing.
var table = [numStates][numEvents]cell{
	Idle:       {EventSubmit: to(Pending), EventCancel: to(Marked), EventReuse: to(Idle), EventFree: to(Freed)},
	Marked:     {EventSubmit: to(Cancelling), EventCancel: to(Marked), EventReuse: to(Idle), EventFree: to(Freed)},
	Pending:    {EventComplete: to(Completed), EventCancel: {next: Cancelling, legal: true, hook: true}},
	Cancelling: {EventComplete: to(Completed), EventCancel: to(Cancelling)},
	Completed:  {EventCancel: to(Completed), EventReuse: to(Idle), EventFree: to(Freed)},
	Freed:      {},
}

// Next returns the state that event leads to from s, and whether it is legal
// there; if it is not, nothing changes and next is s.
func Next(s State, event Event) (next State, legal bool) {
	if s >= numStates || event >= numEvents {
		return s, false
	}
	c := table[s][event]
	if !c.legal {
		return s, false
	}
	return c.next, true
}

// String returns the state's name.
func (s State) String() string {
	names := [numStates]string{"Idle", "Marked", "Pending", "Cancelling", "Completed", "Freed"}
	if s < numStates {
		return names[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// String returns the event's name.
func (e Event) String() string {
	names := [numEvents]string{"Submit", "Complete", "Cancel", "Reuse", "Free"}
	if e < numEvents {
		return names[e]
	}
	return fmt.Sprintf("Event(%d)", uint8(e))
}
