package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is a fenced block of a page.
type block struct {
	info string // what follows the opening fence
	text string
	line int
}

// blocks returns the fenced blocks of a page of the repository.
func blocks(t *testing.T, root, page string) []block {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	var open *block
	for n, line := range strings.Split(string(data), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{info: info, line: n + 1}
		case fence:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block is not closed", page, open.line)
	}
	return found
}

func mustRoot(t *testing.T) string {
	t.Helper()
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// shellTags are the tags that a block of commands may have, each with what .ci/run
// says where it takes such blocks up. Two are not taken up: ci-all is .ci/run
// itself, and host needs what a CI machine does not have; the text says what.
func shellTags() map[string]string {
	return map[string]string{
		"ci-demo":   "$(documented ci-demo)",
		"ci-test":   "$(documented ci-test)",
		"ci":        "<(documented ci)",
		"ci-sim":    "$(documented ci-sim)",
		"ci-stress": "$(documented ci-stress)",
		"ci-gate":   "$(documented ci-gate)",
		"ci-all":    "",
		"host":      "",
	}
}

func TestCommandsOfThePagesRunInCI(t *testing.T) {
	root := mustRoot(t)
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, page := range []string{"README.md", "CONTRIBUTING.md"} {
		for _, b := range blocks(t, root, page) {
			lang, tag, _ := strings.Cut(b.info, " ")
			if lang != "sh" {
				continue
			}
			needle, known := shellTags()[tag]
			switch {
			case !known:
				t.Errorf("%s:%d: a block of commands needs one of the tags of shellTags, not %q", page, b.line, tag)
			case !strings.Contains(string(ci), needle):
				t.Errorf("%s:%d: .ci/run does not take up blocks tagged %q", page, b.line, tag)
			}
			seen[tag]++
		}
	}
	for _, tag := range []string{"ci-demo", "ci-test", "ci", "ci-sim", "ci-stress", "ci-gate"} {
		if seen[tag] == 0 {
			t.Errorf("no block is tagged %q", tag)
		}
	}
}

// A package that a command of the pages names exists.
func TestCommandsOfThePagesNameExistingPackages(t *testing.T) {
	root := mustRoot(t)
	path := regexp.MustCompile(`(?:^|\s)(\./[A-Za-z0-9_/.-]+)`)
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".md" {
			continue
		}
		for _, b := range blocks(t, root, entry.Name()) {
			if !strings.HasPrefix(b.info, "sh") {
				continue
			}
			for _, m := range path.FindAllStringSubmatch(b.text, -1) {
				dir := strings.TrimSuffix(m[1], "/...")
				if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
					t.Errorf("%s:%d: %s is not there", entry.Name(), b.line, m[1])
				}
			}
		}
	}
}

// Every link of a page to another file of the repository leads somewhere.
func TestLinksOfThePagesLead(t *testing.T) {
	root := mustRoot(t)
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	pages, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(data), -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s: link to %s leads nowhere", filepath.Base(page), m[1])
			}
		}
	}
}

// The program in the README compiles against the packages as they are. It is
// put into the module through an overlay: nothing is written to the tree.
func TestProgramOfTheReadmeCompiles(t *testing.T) {
	root := mustRoot(t)
	programs := 0
	for _, b := range blocks(t, root, "README.md") {
		if b.info != "go" {
			continue
		}
		programs++
		dir := t.TempDir()
		source := filepath.Join(dir, "main.go")
		write(t, source, b.text)
		overlay, err := json.Marshal(map[string]map[string]string{
			"Replace": {filepath.Join(root, "cmd", "readmeprogram", "main.go"): source},
		})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "overlay.json"), string(overlay))
		build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", os.DevNull, "./cmd/readmeprogram")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("README.md:%d: the program does not build: %v\n%s", b.line, err, out)
		}
	}
	if programs == 0 {
		t.Error("README.md has no program")
	}
}

// The netstack version that NETSTACK.md speaks of is the one that is used.
func TestNetstackVersionOfThePages(t *testing.T) {
	root := mustRoot(t)
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`gvisor\.dev/gvisor (v\S+)`).FindSubmatch(module)
	if m == nil {
		t.Fatal("go.mod does not require gvisor.dev/gvisor")
	}
	page, err := os.ReadFile(filepath.Join(root, "NETSTACK.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("`gvisor.dev/gvisor %s`", m[1]); !strings.Contains(string(page), want) {
		t.Errorf("NETSTACK.md does not say %s", want)
	}
}

// A decision's number is its name: code and pages refer to it.
func TestDecisionsHaveNumbersOfTheirOwn(t *testing.T) {
	root := mustRoot(t)
	text, err := os.ReadFile(filepath.Join(root, "DESIGN.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\*\*(D-\d+) `).FindAllStringSubmatch(string(text), -1) {
		if seen[m[1]] {
			t.Errorf("%s names two decisions", m[1])
		}
		seen[m[1]] = true
	}
	pages, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil || len(seen) == 0 {
		t.Fatal(len(seen), err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range regexp.MustCompile(`\bD-\d+\b`).FindAllString(string(text), -1) {
			if !seen[id] {
				t.Errorf("%s refers to %s, which is no decision", filepath.Base(page), id)
			}
		}
	}
}
