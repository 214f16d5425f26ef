package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
)

// Change is one thing on the machine that was changed.
type Change struct {
	// Kind says who knows how to take it back.
	Kind string `json:"kind"`
	// Name is what was changed, Was what it was before, and Is what it was set to.
	Name string `json:"name"`
	Was  string `json:"was"`
	Is   string `json:"is"`
	// Also are other things that change along with it, and what they were.
	Also map[string]string `json:"also,omitempty"`
}

// Undo takes a change back. What is not as the change left it is somebody else's
// by now and is left alone: that is no error.
type Undo func(Change) error

// file is a journal on disk.
type file struct {
	Boot    string   `json:"boot"`
	Changes []Change `json:"changes"`
}

// maxJournal bounds what is read of a journal, in bytes.
const maxJournal = 1 << 20

// Record writes down changes that are about to be made. They are on disk when it
// returns.
func (d *Dir) Record(changes ...Change) error {
	d.entries = append(d.entries, changes...)
	return d.write()
}

// Recover takes back what an earlier daemon has left, newest first, with the undo
// of each kind, and says how many changes there were. It is called before the
// first Record.
func (d *Dir) Recover(undo map[string]Undo) (int, error) {
	_ = os.Remove(d.journal + newSuffix) // of a daemon that was killed as it wrote
	f, err := d.read()
	if err != nil || len(f.Changes) == 0 {
		return 0, err
	}
	if f.Boot == d.boot {
		d.entries = f.Changes
	}
	n := len(d.entries)
	return n, d.TakeBack(undo)
}

// TakeBack takes back all changes that are recorded, newest first. It goes on
// after failures; what could not be taken back stays in the journal.
func (d *Dir) TakeBack(undo map[string]Undo) error {
	var errs []error
	var left []Change
	for _, c := range slices.Backward(d.entries) {
		u, known := undo[c.Kind]
		if !known {
			errs = append(errs, fmt.Errorf("the journal in %s has a change of the kind %q, which this version does not know", d.path, c.Kind))
			left = append(left, c)
			continue
		}
		if err := u(c); err != nil {
			errs = append(errs, err)
			left = append(left, c)
		}
	}
	slices.Reverse(left)
	d.entries = left
	return errors.Join(append(errs, d.write())...)
}

func (d *Dir) read() (file, error) {
	var f file
	info, err := os.Lstat(d.journal)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxJournal) {
		err = errors.New("it is not a file of the usual kind and size")
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(d.journal)
	}
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return f, fault.New(fault.ErrUnavailable, "the journal %s of an earlier daemon cannot be read (%v): put right what it names, and delete it", d.journal, err)
	}
	return f, nil
}

// write replaces the journal as a whole, or removes it if nothing is in it.
func (d *Dir) write() error {
	if len(d.entries) == 0 {
		if err := os.Remove(d.journal); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the journal: %w", err)
		}
		return nil
	}
	b, err := json.Marshal(file{d.boot, d.entries})
	if err != nil {
		return err
	}
	if err := replace(d.journal, b); err != nil {
		return fmt.Errorf("the journal of changes cannot be written, so nothing is changed: %w", err)
	}
	return nil
}

// newSuffix is of a journal that is being written.
const newSuffix = ".new"

// replace writes a file beside the old one and moves it over that.
func replace(path string, b []byte) error {
	f, err := os.OpenFile(path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
