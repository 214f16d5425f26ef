package fault

import (
	"errors"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The cause is in the text and not in the chain.
func TestNew(t *testing.T) {
	err := New(ErrUnavailable, "no device (%v)", os.ErrPermission)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, os.ErrPermission) || errors.Is(err, ErrUsage) || err.Error() != "no device (permission denied)" {
		t.Errorf("got %v", err)
	}
}
