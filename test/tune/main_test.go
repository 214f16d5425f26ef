package tune

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var (
	runs  = flag.Int("tune.runs", 1, "how many seeds each cell of TestTable has")
	size  = flag.Int("tune.bytes", 300_000, "how much each transfer of TestTable moves")
	hangs = flag.Int("tune.hangs", 10, "how many seeds TestHangs runs on each link")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
