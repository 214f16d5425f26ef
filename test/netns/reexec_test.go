package netns_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

// program is the test binary in the role of a program that calls Reexec.
func program(t *testing.T, role string, asUser bool) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	if asUser {
		netnstest.AsOrdinaryUser(t, cmd)
	}
	return cmd
}

// users runs a test as root, if the test runs as root, and as an ordinary user.
func users(t *testing.T, test func(t *testing.T, asUser bool)) {
	t.Run("root", func(t *testing.T) {
		netnstest.Require(t, netns.Available())
		test(t, false)
	})
	t.Run("user", func(t *testing.T) { test(t, true) })
}

// withheld skips the test if the program says that the machine has no
// namespaces for it.
func withheld(t *testing.T, out string) {
	t.Helper()
	if strings.Contains(out, "netns: starting the program in a user namespace") {
		netnstest.Require(t, netns.Withheld(errors.New(out)))
	}
}

func TestReexecRunsInsideAsRoot(t *testing.T) {
	outside := here(t)
	users(t, func(t *testing.T, asUser bool) {
		out, err := program(t, "report", asUser).CombinedOutput()
		withheld(t, string(out))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		kind := netns.RootChild
		if asUser {
			kind = netns.UserChild
		}
		for _, want := range []string{"child " + string(kind), "uid 0", "args [one two]", "available yes"} {
			if !strings.Contains(string(out), want+"\n") {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if strings.Contains(string(out), outside) {
			t.Errorf("the child is in the namespace of its parent:\n%s", out)
		}
	})
}

func TestReexecPassesStdioAndExitCode(t *testing.T) {
	users(t, func(t *testing.T, asUser bool) {
		cmd := program(t, "copy", asUser)
		cmd.Stdin = strings.NewReader("through and back")
		var out, talk bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &talk
		err := cmd.Run()
		withheld(t, talk.String())
		if cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("exit code of %v, want 3\n%s", err, talk.String())
		}
		if out.String() != "through and back" {
			t.Errorf("got %q", out.String())
		}
	})
}

func TestReexecReportsADeathBySignal(t *testing.T) {
	netnstest.Require(t, netns.Available())
	err := program(t, "die", false).Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 128+int(syscall.SIGKILL) {
		t.Errorf("got %v, want exit code 137", err)
	}
}

// started runs a program until it has said "ready".
func started(t *testing.T, role string, asUser bool) (cmd *exec.Cmd, rest io.Reader) {
	t.Helper()
	cmd = program(t, role, asUser)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
		_ = cmd.Wait()
		withheld(t, talk.String())
		t.Fatalf("got %q, %v\n%s", line, err, talk.String())
	}
	return cmd, r
}

func TestReexecForwardsSignals(t *testing.T) {
	users(t, func(t *testing.T, asUser bool) {
		cmd, rest := started(t, "wait-for-signal", asUser)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, rest)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 7 {
			t.Errorf("exit code %d, want the child's 7", code)
		}
	})
}

// The pipe's other end is held by the parent and by the child: it ends when both
// are dead.
func TestReexecChildDiesWithItsParent(t *testing.T) {
	users(t, func(t *testing.T, asUser bool) {
		cmd, rest := started(t, "wait-for-ever", asUser)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rest); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
	})
}
