package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Marker is the environment variable by which a program that [Reexec] started
// knows it: its value is that of a [Child].
const Marker = "WSKSTACK_NETNS_CHILD"

// Child says in which kind of namespaces a program runs.
type Child string

// The kinds of child.
const (
	// NotChild: the program was started by somebody else.
	NotChild Child = ""
	// RootChild: a network namespace of its own, made by root.
	RootChild Child = "root"
	// UserChild: a network namespace in a user namespace, both its own, made by
	// an ordinary user, who is root inside and nowhere else.
	UserChild Child = "user"
)

// InChild says which kind of child the calling program is.
func InChild() Child {
	switch c := Child(os.Getenv(Marker)); c {
	case RootChild, UserChild:
		return c
	}
	return NotChild
}

// Command is what [Reexec] runs. The zero value is the program as it was
// started.
type Command struct {
	// Args are the arguments after the program's name; nil: those it has now.
	Args []string
	// Env is added to the environment, as "NAME=value".
	Env []string
	// Stdin, Stdout and Stderr are handed to the child as they are; nil: the
	// program's own.
	Stdin, Stdout, Stderr *os.File
}

// Reexec runs the current program once more inside a new network namespace, in
// which it may make others, and returns its exit code (128 + n if signal n ended
// it). Root gets a network namespace; an ordinary user a user namespace round
// it, with one user mapped to root.
//
// It blocks until the child ends. The child dies with the calling process, kill
// -9 included, and gets the signals that the caller gets meanwhile: interrupt,
// terminate, hang-up, quit, user 1 and 2. While Reexec runs those do not end the
// caller.
//
// An error means that no child was run; one with [ErrPrivilege] says that the
// machine does not allow it.
func Reexec(c Command) (exitCode int, err error) {
	type result struct {
		code int
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// The kernel sends the parent-death signal when the *thread* that
		// forked ends: it has to stay for as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		code, err := reexec(c)
		done <- result{code, err}
	}()
	r := <-done
	return r.code, r.err
}

func reexec(c Command) (int, error) {
	cmd, explained := prepare(c)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded()...)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, explained(err)
	}
	ended := make(chan struct{})
	forwarding := make(chan struct{})
	go func() {
		defer close(forwarding)
		forward(cmd.Process, signals, ended)
	}()
	err := cmd.Wait()
	close(ended)
	<-forwarding
	return exitCode(err)
}

// What Reexec does, for its errors.
const (
	startRoot = "starting the program in a network namespace"
	startUser = "starting the program in a user namespace"
)

// prepare builds the child's command and says how its errors are explained.
func prepare(c Command) (cmd *exec.Cmd, explained func(error) error) {
	args := c.Args
	if args == nil {
		args = os.Args[1:]
	}
	// Not os.Executable: a link to the running image itself works after the
	// file was replaced or removed, as it is under go run.
	cmd = exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = or(c.Stdin, os.Stdin), or(c.Stdout, os.Stdout), or(c.Stderr, os.Stderr)
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	kind := RootChild
	explained = func(err error) error { return explain(startRoot, err) }
	if Available() != nil {
		kind, explained = UserChild, explainUser
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	cmd.Env = append(append(os.Environ(), c.Env...), Marker+"="+string(kind))
	return cmd, explained
}

func or(f, other *os.File) *os.File {
	if f != nil {
		return f
	}
	return other
}

// forwarded lists the signals that go to the child.
func forwarded() []os.Signal {
	return []os.Signal{
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
	}
}

// forward hands signals to the child until it has ended.
func forward(child *os.Process, signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case s := <-signals:
			// What the terminal sends by key reaches its whole foreground
			// group, the child too: a second one would look like a second key.
			if (s == syscall.SIGINT || s == syscall.SIGQUIT) && inForeground() {
				continue
			}
			// The child may just have ended: then there is nobody to tell.
			_ = child.Signal(s)
		}
	}
}

// inForeground says whether the process belongs to the foreground group of a
// terminal.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// exitCode turns the result of Wait into a shell's exit code.
func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("netns: waiting for the program in its namespace: %w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
