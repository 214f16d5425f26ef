package tun

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// openWater attaches a queue to the device through water and hands out the file
// inside. This is the only place that knows water; what is wrong with it ends
// here:
//
//   - water opens the node without close-on-exec: the flag is set while the
//     fork lock is held, so that no child can be born in between;
//   - it forgets the descriptor when the set-up fails: it is found and closed;
//   - it always sets the persist flag, to "no" unless told otherwise, which
//     would delete an administrator's device: persist says what the device has;
//   - it takes a missing device type for an error: it is always given.
//
// Names are checked before (checkName): water cuts a long one silently.
func openWater(name string, persist, multiQueue bool) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()

	before := tunDescriptors()
	ifce, err := water.New(water.Config{
		DeviceType: water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{
			Name:       name,
			Persist:    persist,
			MultiQueue: multiQueue,
		},
	})
	if err != nil {
		closeLeaked(before)
		return nil, err
	}
	file, ok := ifce.ReadWriteCloser.(*os.File)
	if !ok {
		_ = ifce.Close()
		return nil, fmt.Errorf("water returned a %T instead of a file", ifce.ReadWriteCloser)
	}
	if err := prepare(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// prepare sets close-on-exec and makes sure that the runtime's poller watches
// the file: without it Close could not end a Read.
func prepare(file *os.File) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var flagErr error
	if err := raw.Control(func(fd uintptr) {
		_, flagErr = unix.FcntlInt(fd, unix.F_SETFD, unix.FD_CLOEXEC)
	}); err != nil {
		return err
	}
	if flagErr != nil {
		return fmt.Errorf("set close-on-exec: %w", flagErr)
	}
	if err := file.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("the poller cannot watch the descriptor: %w", err)
	}
	return nil
}
