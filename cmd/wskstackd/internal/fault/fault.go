// Package fault makes errors of one line with a kind, for commands: the kind
// decides the exit code (cli's exit.go), the line says what and what to do.
//
//	fault.New(fault.ErrUsage, "--wait %v: it must not be negative", w)
//
// It has no state.
package fault

import (
	"errors"
	"fmt"
)

// The kinds; os.ErrPermission is one too.
var (
	// ErrUsage: the caller's mistake.
	ErrUsage = errors.New("wrong usage")
	// ErrUnavailable: something that is needed is not there, or taken.
	ErrUnavailable = errors.New("not available")
)

// fault is a line and its kind. The cause is in the line only, where it cannot be
// taken for the kind.
type fault struct {
	kind error
	text string
}

func (f *fault) Error() string { return f.text }
func (f *fault) Unwrap() error { return f.kind }

// New makes an error that is of a kind for errors.Is, and has no other cause.
func New(kind error, format string, args ...any) error {
	return &fault{kind, fmt.Sprintf(format, args...)}
}
