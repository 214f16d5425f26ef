package netns

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ErrPrivilege is in the chain of every error that says: this machine or this
// user does not allow it. Such an error is a reason to skip a test or to choose
// another way; any other error is a fault.
var ErrPrivilege = errors.New("not permitted here")

// refusal is a system call's error with the advice that goes with it.
type refusal struct {
	what string
	err  error
}

func (r *refusal) Error() string   { return fmt.Sprintf("netns: %s (%v)", r.what, r.err) }
func (r *refusal) Unwrap() []error { return []error{ErrPrivilege, r.err} }

// Withheld puts ErrPrivilege into the chain of an error of another package that
// says the same; its text stays.
func Withheld(err error) error { return &withheld{err} }

type withheld struct{ err error }

func (w *withheld) Error() string   { return w.err.Error() }
func (w *withheld) Unwrap() []error { return []error{ErrPrivilege, w.err} }

// explain turns the error of making or entering a network namespace into one
// that says what to do.
func explain(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return &refusal{op + " needs CAP_SYS_ADMIN: run as root, or as root of a user namespace (unshare -Urn)", err}
	case errors.Is(err, unix.EACCES):
		return &refusal{op + " is refused by the machine's security policy: run as root", err}
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return &refusal{op + " hits the machine's limit: raise user.max_net_namespaces and user.max_user_namespaces", err}
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return &refusal{op + " is not in this kernel: it was built without CONFIG_NET_NS or CONFIG_USER_NS", err}
	}
	return fmt.Errorf("netns: %s: %w", op, err)
}

// explainUser does the same for the start of a program in a user namespace.
func explainUser(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return &refusal{startUser + " is refused: user namespaces are closed to this user; see kernel.unprivileged_userns_clone, " +
			"kernel.apparmor_restrict_unprivileged_userns and, in a container, its seccomp profile, or run as root", err}
	}
	return explain(startUser, err)
}
