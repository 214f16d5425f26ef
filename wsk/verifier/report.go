package verifier

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// Report is one breach of a rule. Its JSON form is the machine-readable report.
type Report struct {
	ID        string    `json:"id"`
	Rule      string    `json:"rule"` // the misuse, in words
	Object    string    `json:"object"`
	Detail    string    `json:"detail,omitempty"`
	Anchor    string    `json:"anchor"`
	Goroutine uint64    `json:"goroutine"`
	Time      time.Time `json:"time,omitzero"` // zero without a clock
	Stack     []string  `json:"stack"`
	History   []Moment  `json:"history"` // of the object, oldest first, the latest of them
}

// Moment is something that happened to an object.
type Moment struct {
	What      string    `json:"what"`
	Goroutine uint64    `json:"goroutine"`
	Time      time.Time `json:"time,omitzero"`
	Stack     []string  `json:"stack,omitempty"`
}

// Line is the report's first line: ID, rule, object and anchor.
func (r *Report) Line() string {
	line := fmt.Sprintf("%s: %s: %s", r.ID, r.Rule, r.Object)
	if r.Detail != "" {
		line += ": " + r.Detail
	}
	return line + " (as " + r.Anchor + ")"
}

// String is the whole report: the line, the stack, and the object's history.
func (r *Report) String() string {
	var b strings.Builder
	b.WriteString(r.Line() + "\n")
	writeMoment(&b, Moment{"reported", r.Goroutine, r.Time, r.Stack})
	if len(r.History) > 0 {
		b.WriteString("history:\n")
	}
	for _, m := range r.History {
		writeMoment(&b, m)
	}
	return b.String()
}

func writeMoment(b *strings.Builder, m Moment) {
	fmt.Fprintf(b, "  %s by goroutine %d", m.What, m.Goroutine)
	if !m.Time.IsZero() {
		b.WriteString(" at " + m.Time.Format(time.RFC3339Nano))
	}
	b.WriteString("\n")
	for _, s := range m.Stack {
		b.WriteString("    " + s + "\n")
	}
}

const (
	stackDepth   = 24 // frames that are kept of a stack
	historyDepth = 24 // moments that are kept of an object
)

// trace is a stack as it is taken down: cheap, and made readable only in a report.
type trace struct {
	goroutine uint64
	time      time.Time
	pcs       [stackDepth]uintptr
}

// take takes the caller's stack down. What a goroutine's number costs is a multiple of
// the rest, so where only the provider is checked there is none.
func (v *Verifier) take() trace {
	var n uint64
	if v.numbered {
		n = goroutine()
	}
	return v.takeOn(n)
}

// takeOn is take for a goroutine whose number is known, or 0.
func (v *Verifier) takeOn(goroutine uint64) trace {
	t := trace{goroutine: goroutine, time: v.now()}
	runtime.Callers(2, t.pcs[:])
	return t
}

// stack makes a trace readable; the frames of this package are left out.
func (t trace) stack() []string {
	n := 0
	for n < len(t.pcs) && t.pcs[n] != 0 {
		n++
	}
	frames := runtime.CallersFrames(t.pcs[:n])
	var out []string
	for {
		f, more := frames.Next()
		name := f.Function[strings.LastIndexByte(f.Function, '/')+1:]
		if f.Function != "" && !strings.HasPrefix(name, "verifier.") {
			out = append(out, fmt.Sprintf("%s %s:%d", name, f.File, f.Line))
		}
		if !more {
			return out
		}
	}
}

// goroutine returns the number of the calling goroutine, which only the text of a
// stack has.
func goroutine() uint64 {
	var buf [64]byte
	return parseGoroutine(string(buf[:runtime.Stack(buf[:], false)]))
}

// parseGoroutine reads "goroutine N [".
func parseGoroutine(text string) uint64 {
	var n uint64
	for _, c := range strings.TrimPrefix(text, "goroutine ") {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// history is what happened to an object: the first moment, which made it, and the
// latest.
type history struct {
	moments []moment
}

type moment struct {
	what string
	at   trace
}

func (h *history) add(what string, at trace) {
	if len(h.moments) == historyDepth {
		copy(h.moments[1:], h.moments[2:])
		h.moments = h.moments[:historyDepth-1]
	}
	h.moments = append(h.moments, moment{what, at})
}

func (h *history) readable() []Moment {
	out := make([]Moment, 0, len(h.moments))
	for _, m := range h.moments {
		out = append(out, Moment{m.what, m.at.goroutine, m.at.time, m.at.stack()})
	}
	return out
}
