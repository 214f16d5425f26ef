package ntstatus

import "fmt"

// Status is an NTSTATUS code with Windows' own value. The zero value is Success.
type Status uint32

// Success reports NT_SUCCESS: success and informational codes, so Pending,
// Timeout and EventPending count; a warning such as BufferOverflow does not.
func (s Status) Success() bool { return s < 0x80000000 }

// String returns the code's Windows name (STATUS_PENDING), or its value in
// hexadecimal if the code is not one of this package's.
func (s Status) String() string {
	if r, ok := find(s); ok {
		return r.name
	}
	return fmt.Sprintf("NTSTATUS(0x%08X)", uint32(s))
}

// Err returns nil if s.Success, and otherwise an error that keeps the code: an
// Error.
func (s Status) Err() error {
	if s.Success() {
		return nil
	}
	return Error(s)
}
