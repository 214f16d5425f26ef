package ntstatus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryCode(t *testing.T) {
	seen := map[Status]bool{}
	names := map[string]bool{}
	last := Status(0)
	for i, r := range table {
		if seen[r.status] || names[r.name] {
			t.Errorf("%s is there twice", r.name)
		}
		seen[r.status], names[r.name] = true, true
		if i > 0 && r.status <= last {
			t.Errorf("%s is out of order", r.name)
		}
		last = r.status
		if r.status.String() != r.name || !strings.HasPrefix(r.name, "STATUS_") {
			t.Errorf("%#x: String %q, want %q", uint32(r.status), r.status, r.name)
		}
		if got, want := r.status.Success(), r.status>>31 == 0; got != want {
			t.Errorf("%s: Success = %v", r.name, got)
		}
		err := r.status.Err()
		if r.status.Success() {
			if err != nil {
				t.Errorf("%s: Err = %v, want nil", r.name, err)
			}
			continue
		}
		wrapped := fmt.Errorf("connect: %w", err)
		if got, ok := FromError(wrapped); !ok || got != r.status {
			t.Errorf("FromError(%v) = %v, %v", wrapped, got, ok)
		}
		if !errors.Is(wrapped, Error(r.status)) || !strings.Contains(err.Error(), r.name) {
			t.Errorf("%s: the error form has lost the code: %v", r.name, err)
		}
		if r.errno != 0 && !errors.Is(wrapped, r.errno) {
			t.Errorf("%s is not errors.Is %v", r.name, r.errno)
		}
		if errors.Is(wrapped, syscall.Errno(0)) || errors.Is(wrapped, syscall.EXDEV) {
			t.Errorf("%s matches a foreign errno", r.name)
		}
	}
}

func TestValues(t *testing.T) {
	for s, want := range map[Status]uint32{
		Success: 0, Pending: 0x103, Timeout: 0x102, EventPending: 0x40000013,
		BufferOverflow: 0x80000005, InvalidParameter: 0xC000000D, FileForcedClosed: 0xC00000B6,
		InvalidDeviceState: 0xC0000184, Cancelled: 0xC0000120, ConnectionRefused: 0xC0000236,
		IOTimeout: 0xC00000B5, NotSupported: 0xC00000BB, ConnectionReset: 0xC000020D,
		ConnectionAborted: 0xC0000241, DeviceNotReady: 0xC00000A3, NoInterface: 0xC00002B9,
	} {
		if uint32(s) != want {
			t.Errorf("%v = %#x, want %#x", s, uint32(s), want)
		}
	}
	if got := Status(0xC0FFEE).String(); got != "NTSTATUS(0x00C0FFEE)" {
		t.Errorf("unknown code prints as %q", got)
	}
}

func TestStandardLibraryWords(t *testing.T) {
	for s, target := range map[Status]error{
		FileForcedClosed: net.ErrClosed,
		Cancelled:        context.Canceled,
		IOTimeout:        os.ErrDeadlineExceeded,
	} {
		if !errors.Is(s.Err(), target) {
			t.Errorf("%v is not errors.Is %v", s, target)
		}
		if errors.Is(ConnectionReset.Err(), target) {
			t.Errorf("ConnectionReset is errors.Is %v", target)
		}
	}
	if s, ok := FromError(errors.New("other")); ok || s != Unsuccessful {
		t.Errorf("FromError(other) = %v, %v", s, ok)
	}
	if s, ok := FromError(nil); !ok || s != Success {
		t.Errorf("FromError(nil) = %v, %v", s, ok)
	}
}
