package kernel

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// offload is about the rigs' TUN; CI runs the tests once with and once without.
var offload = flag.Bool("kernel.offload", true, "let the TUN carry super-segments and unfinished checksums")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
