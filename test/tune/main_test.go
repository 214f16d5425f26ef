package tune

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var (
	runs  = flag.Int("tune.runs", 1, "how many seeds each cell of TestTable has")
	size  = flag.Int("tune.bytes", 200_000, "how much each transfer of TestTable moves")
	only  = flag.String("tune.settings", "", "which settings TestTable measures, a regular expression; the defaults always")
	hangs = flag.Int("tune.hangs", 3, "how many seeds TestHangs runs on each link")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
