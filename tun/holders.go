package tun

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxHolders bounds the holders named in an error.
const maxHolders = 3

// holders says in words which processes hold a queue of the device called name,
// from the "iff:" lines of /proc/PID/fdinfo. Names are per namespace and the
// line does not give the namespace, so holders in the namespace of the calling
// thread are preferred when there are any.
func holders(name string) string {
	ours, _ := os.Readlink("/proc/thread-self/ns/net")
	var near, far []string
	pids, hidden := processes()
	for _, pid := range pids {
		holds, visible := holdsDevice(pid, name)
		if !visible {
			hidden = true
		}
		if !holds {
			continue
		}
		if ns, _ := os.Readlink(procPath(pid, "ns/net")); ns == ours {
			near = append(near, describe(pid))
		} else {
			far = append(far, describe(pid))
		}
	}
	if len(near) == 0 {
		near = far
	}
	return holderText(near, hidden)
}

func holderText(found []string, hidden bool) string {
	switch {
	case len(found) > maxHolders:
		return fmt.Sprintf("%s and %d more", strings.Join(found[:maxHolders], ", "), len(found)-maxHolders)
	case len(found) > 0:
		return strings.Join(found, ", ")
	case hidden:
		return "a process of another user (root can see which)"
	}
	return "a process that cannot be seen from here"
}

func procPath(pid int, rest string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), rest)
}

func processes() (pids []int, hidden bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, true
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, false
}

// holdsDevice looks through a process's descriptors. visible is false when they
// may not be looked at; a process that has ended meanwhile is visible and holds
// nothing.
func holdsDevice(pid int, name string) (holds, visible bool) {
	entries, err := os.ReadDir(procPath(pid, "fd"))
	if err != nil {
		return false, !os.IsPermission(err)
	}
	for _, e := range entries {
		// Most descriptors are sockets, pipes and files: the link alone says so.
		target, err := os.Readlink(procPath(pid, "fd/"+e.Name()))
		if err != nil || !strings.HasPrefix(target, "/dev/") {
			continue
		}
		info, err := os.ReadFile(procPath(pid, "fdinfo/"+e.Name()))
		if err == nil && attachedTo(info) == name {
			return true, true
		}
	}
	return false, true
}

// attachedTo returns the device named in the text of an fdinfo file ("iff:"
// line, written by the TUN driver), or "" when there is none.
func attachedTo(info []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		if rest, ok := bytes.CutPrefix(lines.Bytes(), []byte("iff:")); ok {
			return string(bytes.TrimSpace(rest))
		}
	}
	return ""
}

func describe(pid int) string {
	if pid == os.Getpid() {
		return "this process"
	}
	comm, err := os.ReadFile(procPath(pid, "comm"))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("%s (process %d)", bytes.TrimSpace(comm), pid)
}
