package arch

import (
	"bytes"
	"go/ast"
	"go/format"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestTreeIsFormatted(t *testing.T) {
	for _, f := range sources(t) {
		want, err := format.Source(f.text)
		if err != nil {
			t.Errorf("%s: %v", f.path, err)
		} else if !bytes.Equal(want, f.text) {
			t.Errorf("%s is not formatted: gofmt -w %s", f.path, f.path)
		}
	}
}

func TestEveryPackageHasItsComment(t *testing.T) {
	for room, files := range byRoom(sources(t)) {
		library := slices.DeleteFunc(slices.Clone(files), (*source).isTest)
		if len(library) == 0 {
			continue
		}
		if !slices.ContainsFunc(library, func(f *source) bool { return f.syntax.Doc.Text() != "" }) {
			t.Errorf("package %q has no package comment: write doc.go (purpose, a drawing, who owns what, limits)", room)
		}
	}
}

// A goroutine that outlives its test is found only by who looks for it.
func TestEveryPackageLooksForLeaks(t *testing.T) {
	for room, files := range byRoom(sources(t)) {
		tests := slices.DeleteFunc(slices.Clone(files), func(f *source) bool { return !f.isTest() })
		if slices.ContainsFunc(tests, hasTests) && !slices.ContainsFunc(tests, looksForLeaks) {
			t.Errorf("package %q has tests and no TestMain that calls goleak.VerifyTestMain or goleak.Find", room)
		}
	}
}

// hasTests says whether go test finds something to run in a file.
func hasTests(f *source) bool {
	return slices.ContainsFunc(f.syntax.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Recv == nil && isTestName(fn.Name.Name)
	})
}

func isTestName(name string) bool {
	if name == "TestMain" {
		return false
	}
	for _, prefix := range []string{"Test", "Fuzz", "Benchmark", "Example"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return rest == "" || !unicode.IsLower([]rune(rest)[0])
		}
	}
	return false
}

// looksForLeaks says whether a file's TestMain leads to goleak, by Find where it
// looks for other leaks as well.
func looksForLeaks(f *source) bool {
	if _, ok := f.imports()["go.uber.org/goleak"]; !ok {
		return false
	}
	return slices.ContainsFunc(f.syntax.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Recv == nil && fn.Name.Name == "TestMain" && (calls(fn, "goleak", "VerifyTestMain") || calls(fn, "goleak", "Find"))
	})
}

// calls says whether a node has a call of pkg.name.
func calls(n ast.Node, pkg, name string) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return !found
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == name {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == pkg {
				found = true
			}
		}
		return !found
	})
	return found
}

// A package that does something when it is imported does it to everybody.
func TestNoInit(t *testing.T) {
	for _, f := range sources(t) {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: do it where it is asked for", f.path)
			}
		}
	}
}

// A test that sleeps is slow or wrong, and mostly both. In a bubble of
// testing/synctest sleeping takes no time.
func TestNoTestSleeps(t *testing.T) {
	for _, f := range sources(t) {
		if _, bubble := f.imports()["testing/synctest"]; bubble || !f.isTest() {
			continue
		}
		if calls(f.syntax, "time", "Sleep") {
			t.Errorf("%s calls time.Sleep: wait for an event, or use testing/synctest or an injected clock", f.path)
		}
	}
}

// A provider whose conduct nobody checks is one that may break its word in a test
// that looks at something else.
func TestEveryTestedProviderIsWatched(t *testing.T) {
	for _, f := range sources(t) {
		example := strings.Contains(f.path, "example_") // shown to readers
		if f.isTest() && !example && f.room() != "wsk/verifier" && calls(f.syntax, "wsk", "NewProvider") {
			t.Errorf("%s calls wsk.NewProvider: wsktest.NewProvider makes one that is checked", f.path)
		}
	}
}
