package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// SetSysctl sets a sysctl of the namespace, and of no other: "net.ipv4.tcp_fastopen".
// A name with a slash is taken as a path below /proc/sys, for devices that have
// a dot in their name: "net/ipv6/conf/eth0.1/accept_dad".
func (ns *Namespace) SetSysctl(name, value string) error {
	path, err := sysctlPath(name)
	if err != nil {
		return err
	}
	err = ns.Do(func() error {
		// No O_CREATE and no O_TRUNC: the file is there or the kernel has no such switch.
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(value)
		return errors.Join(err, f.Close())
	})
	return explainSysctl(name, err)
}

// Sysctl reads a sysctl of the namespace, without the newline at its end.
func (ns *Namespace) Sysctl(name string) (string, error) {
	path, err := sysctlPath(name)
	if err != nil {
		return "", err
	}
	var value []byte
	err = ns.Do(func() (err error) { value, err = os.ReadFile(path); return err })
	return strings.TrimRight(string(value), "\n"), explainSysctl(name, err)
}

// sysctlPath finds the file of a sysctl and refuses what is no namespace's own:
// a write there would change the whole machine.
func sysctlPath(name string) (string, error) {
	rel := name
	if !strings.Contains(name, "/") {
		rel = strings.ReplaceAll(name, ".", "/")
	}
	if rel = filepath.Clean(rel); !strings.HasPrefix(rel, "net/") {
		return "", fmt.Errorf("netns: sysctl %q: only those below net. belong to a network namespace", name)
	}
	return filepath.Join("/proc/sys", rel), nil
}

func explainSysctl(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("netns: sysctl %q: this kernel has none of that name in a namespace: %w", name, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return &refusal{fmt.Sprintf("sysctl %q: /proc/sys is closed to this user or mounted read-only", name), err}
	}
	return fmt.Errorf("netns: sysctl %q: %w", name, err)
}
