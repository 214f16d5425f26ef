package arch

import (
	"go/parser"
	"go/token"
	"testing"
)

func parse(t *testing.T, path, text string) *source {
	t.Helper()
	syntax, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return &source{path: path, text: []byte(text), syntax: syntax}
}

// The checks of a file see what they look for.
func TestChecksSee(t *testing.T) {
	const good = "package x\nimport (\"testing\"; \"go.uber.org/goleak\")\n" +
		"func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }\nfunc TestX(t *testing.T) {}"
	if f := parse(t, "a/x_test.go", good); !hasTests(f) || !looksForLeaks(f) || f.room() != "a" || !f.isTest() {
		t.Error("a good test file is not seen as one")
	}
	const helper = "package x\nimport \"testing\"\nfunc TestMain(m *testing.M) {}\nfunc Testify() {}"
	if f := parse(t, "x_test.go", helper); hasTests(f) || looksForLeaks(f) || f.room() != "" {
		t.Error("a file without tests and without a leak check is seen as having them")
	}
	const sleeps = "package x\nimport \"time\"\nfunc f() { if true { time.Sleep(1) } }"
	if f := parse(t, "x.go", sleeps); !calls(f.syntax, "time", "Sleep") || calls(f.syntax, "time", "Now") {
		t.Error("calls are not told apart")
	}
}
