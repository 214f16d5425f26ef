package benchtext

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/test/bench"
)

var update = flag.Bool("benchtext.update", false, "write what is made from stored reports anew: the README's table, and the texts in testdata")

func stored(t *testing.T, path ...string) bench.Report {
	t.Helper()
	file, err := os.Open(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := bench.ReadReport(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// same compares a text with what a file has, or puts it there.
func same(t *testing.T, name, is, want string, put func(string) string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(put(want)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is != want {
		t.Errorf("%s has\n%s\nand not\n%s\nmake it anew: go test ./cmd/wskstackd/internal/benchtext -benchtext.update", name, is, want)
	}
}

// golden compares a text with a file of its own.
func golden(t *testing.T, name, want string) {
	t.Helper()
	is := ""
	if !*update {
		is = read(t, name)
	}
	same(t, name, is, want, func(s string) string { return s })
}

// The README's table, and the machine above it, are what `bench show` prints of the
// report that is in the repository; and that report is to be believed.
func TestTableOfTheREADME(t *testing.T) {
	root := filepath.Join("..", "..", "..", "..")
	r := stored(t, root, "test", "bench", "testdata", "headline.json")
	if r.Kind != "table" || r.Rounds < bench.DefaultRounds || r.Foreign > bench.TooBusy {
		t.Fatalf("%s, %d rounds, others had %.0f %%: measure again", r.Kind, r.Rounds, 100*r.Foreign)
	}
	var table strings.Builder
	if err := Headline(&table, r); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(table.String(), "not measured") {
		t.Fatalf("figures are missing:\n%s", table.String())
	}
	const begin, end = "<!-- bench: begin -->\n", "<!-- bench: end -->\n"
	page := filepath.Join(root, "README.md")
	before, rest, ok := strings.Cut(read(t, page), begin)
	is, after, also := strings.Cut(rest, end)
	if !ok || !also {
		t.Fatalf("README.md has no %q with %q behind it", begin, end)
	}
	same(t, page, is, table.String(), func(s string) string { return before + begin + s + end + after })
}

// Each suite's report, as it is shown: every ratio with its median and ends.
func TestTextOfEverySuite(t *testing.T) {
	for _, kind := range []string{"throughput", "connect", "ttfb", "idle", "layers"} {
		t.Run(kind, func(t *testing.T) {
			r := stored(t, "testdata", kind+".json")
			if r.Kind != kind {
				t.Errorf("it is of %q", r.Kind)
			}
			var text bytes.Buffer
			if err := Report(&text, r); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", kind+".txt"), text.String())
		})
	}
}
