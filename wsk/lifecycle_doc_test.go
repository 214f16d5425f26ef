package wsk_test

import (
	"flag"
	"testing"

	"github.com/wskstack/wskstack/wsk"
)

var update = flag.Bool("wsk.update", false, "write the generated pages anew")

// TestLifecyclesPage keeps LIFECYCLES.md the same as the tables.
func TestLifecyclesPage(t *testing.T) {
	keepPage(t, "LIFECYCLES.md", wsk.LifecyclesPage())
}
