package wsk

import (
	"fmt"
	"strings"

	"github.com/wskstack/wskstack/wsk/irp"
)

// LifecyclesPage is LIFECYCLES.md: the tables of the package and of package irp.
func LifecyclesPage() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from the tables; do not edit. go test ./wsk -run TestLifecyclesPage -wsk.update -->

# Life cycles

## An IRP

What becomes of an IRP in each state. A dash: refused.

`)
	irpTable(&b)
	b.WriteString(`
## A socket: functions

What a function does in each state. **ok**: it does its work, and the socket is in the state behind the arrow from then on, if
there is one. done: STATUS_SUCCESS, there is nothing left to do. IDS: STATUS_INVALID_DEVICE_STATE. FFC:
STATUS_FILE_FORCED_CLOSED. latched: the status that ended the connection.

`)
	row(&b, "Function", eachState(State.String)...)
	rule(&b, int(numStates))
	for fn := range numFunctions {
		row(&b, fn.String(), eachState(func(s State) string { return cellText(s, stateTable[fn][s]) })...)
	}
	b.WriteString(`
## A socket: what happens to it

The state that a happening leads to. Empty: nothing changes.

`)
	row(&b, "Happening", eachState(State.String)...)
	rule(&b, int(numStates))
	for h := range numHappenings {
		row(&b, happeningNames[h], eachState(func(s State) string {
			if next, ok := moveTable[h][s]; ok {
				return next.String()
			}
			return ""
		})...)
	}
	b.WriteString(`
## Pended requests

What a pended request completes with when it ends before its time. A dash: that cannot be.

`)
	var kinds []string
	for k := kindReceive; k < numKinds; k++ {
		kinds = append(kinds, kindNames[k])
	}
	row(&b, "End", kinds...)
	rule(&b, len(kinds))
	for e := range numEnds {
		var cells []string
		for k := kindReceive; k < numKinds; k++ {
			cells = append(cells, fateText(e, k))
		}
		row(&b, endNames[e], cells...)
	}
	return b.String()
}

var (
	happeningNames = [numHappenings]string{
		"accepted", "connected", "connect failed or cancelled", "the peer's FIN", "own FIN acknowledged",
		"disconnect cancelled before its FIN", "broken", "withdrawn", "creation failed", "close completes",
	}
	kindNames = [numKinds]string{
		"", "Receive", "Send", "Disconnect", "Connect", "Accept", "SendTo", "ReceiveFrom", "SIO_ADDRESS_LIST_CHANGE", "CloseSocket",
	}
	endNames = [numEnds]string{"broken", "own abort", "CloseSocket", "cancelled", "withdrawn"}
)

func irpTable(b *strings.Builder) {
	var events []string
	for e := irp.EventSubmit; e <= irp.EventFree; e++ {
		events = append(events, e.String())
	}
	row(b, "State", events...)
	rule(b, len(events))
	for s := irp.Idle; s <= irp.Freed; s++ {
		var cells []string
		for e := irp.EventSubmit; e <= irp.EventFree; e++ {
			text := "–"
			if next, legal := irp.Next(s, e); legal {
				text = next.String()
			}
			cells = append(cells, text)
		}
		row(b, s.String(), cells...)
	}
}

func cellText(s State, c cell) string {
	switch c.answer {
	case proceed:
		if c.next == s {
			return "**ok**"
		}
		return "**ok** → " + c.next.String()
	case nothing:
		return "done"
	case latched:
		return "latched"
	case forced:
		return "FFC"
	default:
		return "IDS"
	}
}

func fateText(e end, k kind) string {
	// Only connections break or are aborted, and nothing ends a close.
	ofConnection := k == kindReceive || k == kindSend || k == kindDisconnect
	switch {
	case k == kindListChange && (e == endAborted || e == endBroken):
		return "goes on"
	case k == kindClose, e == endAborted && !ofConnection, e == endBroken && !ofConnection && k != kindConnect:
		return "–"
	case fateTable[e][k] == theLatched:
		return "latched"
	}
	return fateTable[e][k].String()
}

func eachState(text func(State) string) []string {
	var cells []string
	for s := range numStates {
		cells = append(cells, text(s))
	}
	return cells
}

func row(b *strings.Builder, head string, cells ...string) {
	fmt.Fprintf(b, "| %s | %s |\n", head, strings.Join(cells, " | "))
}

func rule(b *strings.Builder, columns int) {
	b.WriteString("|---|" + strings.Repeat("---|", columns) + "\n")
}
