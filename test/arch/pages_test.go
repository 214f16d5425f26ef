package arch

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a package's page has to have for those who embed it. The page is what
// pkg.go.dev shows, so the rest of the repository is not there to explain it.
var pageParts = []struct {
	name string
	is   *regexp.Regexp
}{
	{"a drawing of the data flow (indented lines)", regexp.MustCompile(`(?m)^\t`)},
	{"who owns what", regexp.MustCompile(`(?i)\bown(s|ed|er|ership)?\b|holds no state`)},
	{"who runs what: goroutines, or that there are none", regexp.MustCompile(`(?i)goroutine`)},
	{"its limits", regexp.MustCompile(`(?i)\blimits?\b|left out`)},
}

func TestPagesAreWhole(t *testing.T) {
	pages := 0
	for room, files := range byRoom(sources(t)) {
		top, _, _ := strings.Cut(room, "/")
		if !slices.Contains([]string{"stack", "tun", "wsk"}, top) || strings.Contains(room, "internal/") {
			continue
		}
		var page string
		for _, f := range files {
			if !f.isTest() {
				page += f.syntax.Doc.Text()
			}
		}
		if page == "" {
			continue // without files of its own; TestEveryPackageHasItsComment sees the rest
		}
		pages++
		for _, part := range pageParts {
			if !part.is.MatchString(page) {
				t.Errorf("the page of %s does not have %s", room, part.name)
			}
		}
	}
	if pages < 15 {
		t.Errorf("only %d pages were found", pages)
	}
}

// TestTestsThatPagesNameAreThere: a table of bad input that names a test that nobody
// has is worse than none.
func TestTestsThatPagesNameAreThere(t *testing.T) {
	there := make(map[string]bool)
	for _, f := range sources(t) {
		if !f.isTest() {
			continue
		}
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && isTestName(fn.Name.Name) {
				there[fn.Name.Name] = true
			}
		}
	}
	pages, err := filepath.Glob(filepath.Join(root(t), "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`").FindAllStringSubmatch(string(text), -1) {
			if named++; !there[m[1]] && m[1] != "TestMain" {
				t.Errorf("%s names %s, which is not there", filepath.Base(page), m[1])
			}
		}
	}
	if named < 20 {
		t.Errorf("only %d tests are named", named)
	}
}
