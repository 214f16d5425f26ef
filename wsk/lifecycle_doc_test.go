package wsk_test

import (
	"flag"
	"os"
	"testing"

	"github.com/wskstack/wskstack/wsk"
)

var update = flag.Bool("wsk.update", false, "write LIFECYCLES.md anew")

// TestLifecyclesPage keeps LIFECYCLES.md the same as the tables.
func TestLifecyclesPage(t *testing.T) {
	want := wsk.LifecyclesPage()
	const name = "LIFECYCLES.md"
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the tables say; run: go test ./wsk -run TestLifecyclesPage -wsk.update", name)
	}
}
