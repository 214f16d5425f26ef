// Package netnstest is how tests ask for a namespace of their own, and the only
// place where a test of this repository may be skipped for want of privilege.
//
//	need privilege ──► Require(t, netns.Available())
//	                       ├─ nil                    the test goes on
//	                       ├─ netns.ErrPrivilege     SKIP-PRIVILEGE: reason
//	                       └─ any other error        the test fails
//
// The words SKIP-PRIVILEGE are what CI looks for: on a machine that has the
// privilege they must not appear. Tests own what they get until their cleanup.
package netnstest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/test/netns"
)

// Require ends the test unless err is nil: it is skipped, with the reason, when
// the machine really withholds a privilege ([netns.ErrPrivilege]), and fails
// otherwise.
func Require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, netns.ErrPrivilege):
		t.Skipf("SKIP-PRIVILEGE: %v", err)
	default:
		t.Fatal(err)
	}
}

// New gives the test a namespace with lo up, closed when the test ends.
func New(t testing.TB) *netns.Namespace {
	t.Helper()
	ns, err := netns.New()
	Require(t, err)
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Errorf("closing the namespace: %v", err)
		}
	})
	if err := ns.LinkUp("lo"); err != nil {
		t.Fatal(err)
	}
	return ns
}

// nobody is the user and group that root becomes to be an ordinary user.
const nobody = 65534

// AsOrdinaryUser makes a command run as an ordinary user, if the test itself is
// root. Where there is no other user to become, in a user namespace with one
// user, the test is skipped.
func AsOrdinaryUser(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	for _, file := range []string{"/proc/self/uid_map", "/proc/self/gid_map"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !mapped(string(text), nobody) {
			Require(t, netns.Withheld(fmt.Errorf("user and group %d do not exist in this user namespace", nobody)))
		}
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
}

// mapped says whether an ID exists in a user namespace: each line of its map is
// a first ID inside, one outside, and how many there are.
func mapped(text string, id uint64) bool {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		var inside, outside, count uint64
		if n, _ := fmt.Sscan(lines.Text(), &inside, &outside, &count); n == 3 && id >= inside && id-inside < count {
			return true
		}
	}
	return false
}
