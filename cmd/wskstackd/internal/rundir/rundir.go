package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
)

const lockName = "lock"

// Dir is a runtime directory that is locked.
type Dir struct {
	path string
	made bool // by this daemon, or one that was killed
	lock *os.File
	// journal is the file of this network namespace.
	journal string
	boot    string
	entries []Change
}

// Open makes the directory if it is not there, with mode 0700, and locks it. It
// refuses one that is not the caller's own, that others may write to, or that is a
// symbolic link. It belongs to the network namespace of the calling thread.
func Open(path string) (*Dir, error) {
	cookie, boot, err := identity()
	if err != nil {
		return nil, err
	}
	made, lock, err := lockIn(path)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, made: made, lock: lock, boot: boot, journal: filepath.Join(path, fmt.Sprintf("journal-%d.json", cookie))}, nil
}

// lockIn makes the directory and takes its lock. A daemon that is just ending takes
// away the file that it held, and the directory: then it begins anew.
func lockIn(path string) (made bool, lock *os.File, err error) {
	for {
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.Mkdir(path, 0o700)
		}
		if made = err == nil; !made && !errors.Is(err, fs.ErrExist) {
			return false, nil, unusable(path, err)
		}
		if err = check(path); err == nil {
			lock, err = takeLock(filepath.Join(path, lockName))
		}
		if err == nil {
			made, err = sign(lock, made)
		}
		if !errors.Is(err, errGone) && !errors.Is(err, fs.ErrNotExist) {
			return made, lock, err
		}
	}
}

// errGone says that the lock was taken on a file that is not there any more.
var errGone = errors.New("the lock is gone")

func unusable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kind := fault.ErrUnavailable
	if errors.Is(err, fs.ErrPermission) {
		kind = fs.ErrPermission
	}
	return fault.New(kind, "the runtime directory %s cannot be used (%v): give another with --runtime-dir", path, reason(err))
}

// reason is an error without the path, which the line has already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// check refuses a directory whose files others could put in place.
func check(path string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fault.New(fault.ErrUnavailable, "the runtime directory %s is no directory: give another with --runtime-dir", path)
	case st.Uid != uint32(os.Geteuid()):
		return fault.New(fault.ErrUnavailable, "the runtime directory %s belongs to the user %d, not to this one: give another with --runtime-dir", path, st.Uid)
	case st.Mode&0o022 != 0:
		return fault.New(fault.ErrUnavailable, "others may write to the runtime directory %s: 'chmod 0700 %s'", path, path)
	}
	return nil
}

// identity tells the network namespace, by a number that the kernel gives to no
// other, and the boot.
func identity() (cookie uint64, boot string, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, "", os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err != nil {
		return 0, "", fmt.Errorf("the kernel does not tell its network namespaces apart, which needs Linux 5.14: %w", os.NewSyscallError("getsockopt SO_NETNS_COOKIE", err))
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0, "", fmt.Errorf("the boot's identity cannot be read, mount /proc: %w", err)
	}
	return cookie, strings.TrimSpace(string(id)), nil
}

// takeLock opens and locks a file.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, unusable(filepath.Dir(path), err)
	}
	if err := holdLock(f, path); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func holdLock(f *os.File, path string) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		pid, _, _ := strings.Cut(written(f), " ")
		return fault.New(fault.ErrUnavailable, "another wskstackd (process %s) uses %s: stop it, or give this one a directory of its own with --runtime-dir", pid, filepath.Dir(path))
	} else if err != nil {
		return fmt.Errorf("locking %s: %w", path, err)
	}
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(path); err != nil || !os.SameFile(ours, there) {
		return errGone
	}
	return nil
}

// The text of a lock is a process's number and, if its daemon has made the directory,
// hereFirst. It always has the same length, so that it is written at once.
const (
	hereFirst  = " made"
	lockFormat = "%-20s\n"
)

// sign writes this process's number into the lock, and whether the directory was
// made by it, or by a daemon that was killed and did not remove it.
func sign(lock *os.File, made bool) (bool, error) {
	text := strconv.Itoa(os.Getpid())
	if made = made || strings.Contains(written(lock), hereFirst); made {
		text += hereFirst
	}
	if _, err := lock.WriteAt(fmt.Appendf(nil, lockFormat, text), 0); err != nil {
		return made, errors.Join(fmt.Errorf("writing %s: %w", lock.Name(), err), lock.Close())
	}
	return made, nil
}

// written is the text of a lock.
func written(lock *os.File) string {
	text := make([]byte, 64)
	n, _ := lock.ReadAt(text, 0)
	return string(text[:n])
}

// Close lets the lock go and removes what is empty: the directory stays if it was
// there before, or if its journal has something that was not taken back.
func (d *Dir) Close() error {
	err := os.Remove(d.lock.Name()) // while it is held
	if d.made {
		_ = os.Remove(d.path) // unless something is in it
	}
	return errors.Join(err, d.lock.Close())
}
