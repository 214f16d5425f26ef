package cli

import (
	"errors"
	"fmt"
	"io"
)

// kept is standard output, and keeps the first error of a write. Much of what
// writes to it, help and the demo among it, has no use for an error, and a program
// whose words were lost must not end as if they had been read. It is not safe for
// concurrent use.
type kept struct {
	w   io.Writer
	err error
}

// Write implements io.Writer. After an error nothing more is written, so that what
// came through has no gap.
func (k *kept) Write(b []byte) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	n, err := k.w.Write(b)
	if err != nil {
		k.err = fmt.Errorf("standard output cannot be written, send it where there is room and a reader: %w", err)
	}
	return n, k.err
}

// after is how a command ended, given the error that it returned. Most of these say
// all there is to say; the verdict of the demo points to words that were lost.
func (k *kept) after(err error) error {
	switch {
	case k.err == nil:
		return err
	case err == nil:
		return k.err
	case errors.Is(err, errClaimsFalse), errors.Is(err, errScenariosFailed):
		return fmt.Errorf("%w; %w", err, k.err)
	}
	return err
}

// quiet is a kept for cobra, which would print the error of a write in a line of
// its own.
type quiet struct{ *kept }

// Write implements io.Writer; it never fails.
func (q quiet) Write(b []byte) (int, error) {
	_, _ = q.kept.Write(b)
	return len(b), nil
}
