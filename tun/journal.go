package tun

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// journal remembers how to take back what was done to the system, newest last.
// An entry is written before its change is made, so that there is no moment at
// which a change exists and nobody knows. It is used by one goroutine at a time
// (Open, then the one Close).
type journal struct{ entries []entry }

type entry struct {
	what string
	undo func() error
}

// record adds an entry for a change that is about to be made, or is made already
// by whoever calls.
func (j *journal) record(what string, undo func() error) {
	j.entries = append(j.entries, entry{what, undo})
}

// apply records a change and makes it. When the kernel answers that the thing
// is there already, it is somebody else's, and when it answers that we may not,
// nothing was done: the entry is dropped. After any other failure the entry
// stays, for a change may have been made whose answer was lost; taking back what
// is not there does no harm.
func (j *journal) apply(what string, undo, do func() error) error {
	j.record(what, undo)
	err := do()
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		j.entries = j.entries[:len(j.entries)-1]
	}
	return err
}

// undo takes everything back, newest first, goes on after failures and reports
// them all. Things that are gone already count as taken back. Afterwards the
// journal is empty.
func (j *journal) undo() error {
	var errs []error
	for i := len(j.entries) - 1; i >= 0; i-- {
		e := j.entries[i]
		if err := e.undo(); err != nil && !isAbsent(err) {
			errs = append(errs, fmt.Errorf("take back %s: %w", e.what, err))
		}
	}
	j.entries = nil
	return errors.Join(errs...)
}

// isAbsent says that the kernel knows no such link, address or route.
func isAbsent(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENXIO)
}
