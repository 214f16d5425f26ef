package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// self is the calling thread's own namespace. /proc/self would be that of the
// process's first thread.
const self = "/proc/thread-self/ns/net"

// errNotRun is the result of a function that left its goroutine early.
var errNotRun = errors.New("netns: the function ended its goroutine (runtime.Goexit, t.FailNow) and did not return")

// onThread runs enter and then f on a locked thread of their own, and gives the
// thread back only when it is in its old namespace again.
//
// Preconditions: enter changes nothing but the thread's network namespace.
// It waits for f. The goroutine it starts ends with f.
func onThread(enter, f func() error) error {
	result := make(chan error, 1)
	go func() {
		err := errNotRun
		// Deferred, so that the caller is released even if f never returns.
		defer func() { result <- err }()
		runtime.LockOSThread()
		home, homeErr := openSelf()
		if homeErr != nil {
			err = homeErr
			runtime.UnlockOSThread()
			return
		}
		defer home.Close()
		// Without the unlock the goroutine ends locked, and the runtime ends
		// the thread with it: the wanted end of a thread that is astray.
		defer func() {
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		if enterErr := enter(); enterErr != nil {
			err = enterErr
			return
		}
		err = f()
	}()
	return <-result
}

// openSelf opens the calling thread's namespace.
func openSelf() (*os.File, error) {
	f, err := os.Open(self)
	if err != nil {
		return nil, fmt.Errorf("netns: the thread's own namespace cannot be opened; is /proc mounted? (%w)", err)
	}
	return f, nil
}
