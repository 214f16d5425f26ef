package tun

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestJournalUndoesNewestFirst(t *testing.T) {
	var j journal
	var trace []string
	for _, what := range []string{"a", "b", "c"} {
		err := j.apply(what,
			func() error { trace = append(trace, "undo "+what); return nil },
			func() error {
				// The entry is there before the change is made.
				if len(j.entries) == 0 || j.entries[len(j.entries)-1].what != what {
					t.Errorf("%s was changed before it was recorded", what)
				}
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := j.undo(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"undo c", "undo b", "undo a"}; !slices.Equal(trace, want) {
		t.Errorf("got %v, want %v", trace, want)
	}
	if err := j.undo(); err != nil || len(trace) != 3 {
		t.Errorf("a second undo did something: %v, %v", trace, err)
	}
}

func TestJournalFailures(t *testing.T) {
	cases := []struct {
		name   string
		err    error
		undone bool
	}{
		{"somebody else's", unix.EEXIST, false},
		{"somebody else's, with words", fmt.Errorf("%w: exists", unix.EEXIST), false},
		{"not allowed", unix.EPERM, false},
		{"switched off", unix.EACCES, false},
		{"refused half-way", unix.EINVAL, true},
		{"answer lost", unix.EAGAIN, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var j journal
			undone := false
			got := j.apply("it", func() error { undone = true; return nil }, func() error { return c.err })
			if !errors.Is(got, c.err) {
				t.Errorf("got %v, want %v", got, c.err)
			}
			if err := j.undo(); err != nil {
				t.Error(err)
			}
			if undone != c.undone {
				t.Errorf("undone: %v, want %v", undone, c.undone)
			}
		})
	}
}

func TestJournalGoesOnAndReports(t *testing.T) {
	var j journal
	n := 0
	answer := func(err error) func() error { return func() error { n++; return err } }
	j.record("one", answer(unix.EPERM))
	j.record("two", answer(unix.ENODEV)) // gone already: taken back
	j.record("three", answer(unix.EADDRNOTAVAIL))
	j.record("four", answer(unix.EINVAL))
	err := j.undo()
	if n != 4 {
		t.Errorf("%d entries were tried, want 4", n)
	}
	if !errors.Is(err, unix.EPERM) || !errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("got %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "take back four") {
		t.Errorf("the error does not say what: %v", err)
	}
}
