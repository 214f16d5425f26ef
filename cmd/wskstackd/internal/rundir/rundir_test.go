package rundir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.lock.Close() })
	return d
}

// killed is what kill -9 does to a Dir: the lock is let go, the files stay.
func killed(d *Dir) { _ = d.lock.Close() }

// files are what is in a directory; nil if it is not there.
func files(t *testing.T, path string) []string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNothingIsLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "run")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v, %v", files(t, path), err)
	}
	killed(open(t, path)) // it cannot remove what it has made
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of a daemon that was killed is still there: %v, %v", files(t, path), err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	killed(open(t, path))
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil || files(t, path) != nil {
		t.Errorf("a directory that was there before: %v, %v", files(t, path), err)
	}
}

// A second daemon is told who has the directory, and gets it once that one has
// ended, however.
func TestOneDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	first := open(t, path)
	_, err := Open(path)
	if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "another wskstackd (process ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	killed(first)
	second := open(t, path)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

// Who waits to open the lock's file while another removes it does not get a lock
// on a file that is gone.
func TestLockOnAFileThatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockName)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := holdLock(f, path); !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
}

func TestDirectoriesThatCannotBe(t *testing.T) {
	base := t.TempDir()
	for name, c := range map[string]struct {
		make func(string) error
		want string
	}{
		"file":     {func(p string) error { return os.WriteFile(p, nil, 0o600) }, "is no directory"},
		"symlink":  {func(p string) error { return os.Symlink(base, p) }, "is no directory"},
		"writable": {func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o777)) }, "others may write"},
		"locked": {func(p string) error {
			return errors.Join(os.Mkdir(p, 0o700), os.Symlink("/dev/null", filepath.Join(p, lockName)))
		}, "cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(base, name)
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Open("/proc/nothing/can/be/made/here"); err == nil {
		t.Error("a directory in /proc")
	}
}

var some = []Change{
	{Kind: "a", Name: "one", Was: "0", Is: "1", Also: map[string]string{"x": "y"}},
	{Kind: "a", Name: "two", Was: "0", Is: "1"},
	{Kind: "a", Name: "three", Was: "0", Is: "1"},
}

// What a daemon that was killed had recorded is taken back by the next, newest
// first; what cannot be stays for the one after that.
func TestRecover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := open(t, path)
	for _, c := range some {
		if err := d.Record(c); err != nil {
			t.Fatal(err)
		}
	}
	killed(d)

	var undone []Change
	broken := errors.New("broken")
	d = open(t, path)
	n, err := d.Recover(map[string]Undo{"a": func(c Change) error {
		undone = append(undone, c)
		if c.Name == "two" {
			return broken
		}
		return nil
	}})
	want := slices.Clone(some)
	slices.Reverse(want)
	if n != 3 || !errors.Is(err, broken) || !reflect.DeepEqual(undone, want) {
		t.Errorf("%d, %v, undone %v", n, err, undone)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	undone = nil
	d = open(t, path)
	n, err = d.Recover(map[string]Undo{"a": func(c Change) error { undone = append(undone, c); return nil }})
	if n != 1 || err != nil || len(undone) != 1 || undone[0].Name != "two" {
		t.Errorf("%d, %v, undone %v", n, err, undone)
	}
	if n, err := d.Recover(nil); n != 0 || err != nil {
		t.Errorf("there is more: %d, %v", n, err)
	}
	if got := files(t, path); !slices.Equal(got, []string{lockName}) {
		t.Errorf("left: %v", got)
	}
}

// What this boot has not changed is not taken back.
func TestJournalOfAnotherBoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := open(t, path)
	d.boot = "another"
	if err := d.Record(some...); err != nil {
		t.Fatal(err)
	}
	killed(d)
	d = open(t, path)
	if n, err := d.Recover(nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := files(t, path); !slices.Equal(got, []string{lockName}) {
		t.Errorf("left: %v", got)
	}
}

// A daemon in another network namespace does not touch what this one has changed.
func TestJournalOfAnotherNamespace(t *testing.T) {
	ns := netnstest.New(t)
	path := filepath.Join(t.TempDir(), "run")
	var d *Dir
	if err := ns.Do(func() (err error) { d, err = Open(path); return err }); err != nil {
		t.Fatal(err)
	}
	if err := d.Record(some...); err != nil {
		t.Fatal(err)
	}
	killed(d)
	d = open(t, path)
	if n, err := d.Recover(nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, path); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestJournalsThatCannotBeRead(t *testing.T) {
	for name, text := range map[string]string{
		"cut off":      `{"boot":"`,
		"another kind": `[]`,
		"endless":      `{"boot":"` + strings.Repeat("x", maxJournal) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, filepath.Join(t.TempDir(), "run"))
			if err := os.WriteFile(d.journal, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Recover(nil); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), d.journal) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A kind that nobody knows stays, and so does the rest of a half-written journal.
func TestUnknownKind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run")
	d := open(t, path)
	if err := d.Record(some[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.journal+newSuffix, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	killed(d)
	d = open(t, path)
	if n, err := d.Recover(nil); n != 1 || err == nil || !strings.Contains(err.Error(), `kind "a"`) {
		t.Errorf("%d, %v", n, err)
	}
	if got := files(t, path); !slices.Equal(got, []string{filepath.Base(d.journal), lockName}) {
		t.Errorf("left: %v", got)
	}
}
