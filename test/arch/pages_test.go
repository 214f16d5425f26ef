package arch

import (
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
