package nat

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/rundir"
)

// family is what forwarding is in one of the address families.
type family struct {
	proto byte   // NFPROTO
	main  string // the sysctl, as a path below /proc/sys
	// along are those that the kernel sets when main is set, as patterns.
	along []string
	// offset and size of the source address in the packet's header.
	offset, size uint32
}

//nolint:gochecknoglobals // constants that Go cannot write as such
var (
	ipv4 = family{
		proto: unix.NFPROTO_IPV4, main: "net/ipv4/ip_forward",
		along:  []string{"net/ipv4/conf/*/forwarding", "net/ipv4/conf/*/accept_redirects"},
		offset: 12, size: 4,
	}
	ipv6 = family{
		proto: unix.NFPROTO_IPV6, main: "net/ipv6/conf/all/forwarding",
		along:  []string{"net/ipv6/conf/*/forwarding", "net/ipv6/conf/*/accept_redirects"},
		offset: 8, size: 16,
	}
)

const sysctls = "/proc/sys/"

func read(path string) (string, error) {
	b, err := os.ReadFile(sysctls + path)
	return strings.TrimSpace(string(b)), err
}

// write sets a sysctl that is there.
func write(path, value string) error {
	f, err := os.OpenFile(sysctls+path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

func (f *family) enabled() (bool, error) {
	value, err := read(f.main)
	if err != nil {
		return false, fault.New(fault.ErrUnavailable, "%s cannot be read (%v): mount /proc, or leave --nat out", f.sysctl(), err)
	}
	return value != "0", nil
}

// sysctl is the name that people know.
func (f *family) sysctl() string { return strings.ReplaceAll(f.main, "/", ".") }

// enable turns forwarding on.
func (f *family) enable(j Journal) error {
	also := make(map[string]string)
	for _, pattern := range f.along {
		paths, err := filepath.Glob(sysctls + pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			path = strings.TrimPrefix(path, sysctls)
			if value, err := read(path); err == nil && path != f.main {
				also[path] = value
			}
		}
	}
	if err := j.Record(rundir.Change{Kind: kindForwarding, Name: f.main, Was: "0", Is: "1", Also: also}); err != nil {
		return err
	}
	err := write(f.main, "1")
	switch {
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return fault.New(os.ErrPermission, "%s is 0 and cannot be set (%v): set it yourself ('sysctl -w %s=1'; for a container '--sysctl %s=1'), or run as root", f.sysctl(), unwrapped(err), f.sysctl(), f.sysctl())
	case err != nil:
		return fmt.Errorf("setting %s: %w", f.sysctl(), err)
	}
	return nil
}

// unwrapped is an error without the path, which the line has already.
func unwrapped(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// disable puts back what enable has set, unless somebody has set it otherwise
// meanwhile. Sysctls of devices that are gone are gone with them.
func disable(c rundir.Change) error {
	now, err := read(c.Name)
	if err != nil {
		return fmt.Errorf("putting back %s: %w", c.Name, err)
	}
	if now != c.Is {
		return nil
	}
	errs := []error{write(c.Name, c.Was)}
	for _, path := range slices.Sorted(maps.Keys(c.Also)) {
		now, err := read(path)
		if err == nil && now != c.Also[path] {
			err = write(path, c.Also[path])
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("putting back %s: %w", c.Name, err)
	}
	return nil
}
