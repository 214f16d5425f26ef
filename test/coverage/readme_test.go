package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
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

// programOfTheReadme builds the program in the README against the packages as they are.
// It is put into the module through an overlay: nothing is written to the tree.
func programOfTheReadme(t *testing.T) (path string) {
	t.Helper()
	root := mustRoot(t)
	var programs []block
	for _, b := range blocks(t, root, "README.md") {
		if b.info == "go" {
			programs = append(programs, b)
		}
	}
	if len(programs) != 1 {
		t.Fatalf("README.md has %d programs", len(programs))
	}
	dir := t.TempDir()
	source, overlay, path := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	write(t, source, programs[0].text)
	text, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(root, "cmd", "readmeprogram", "main.go"): source},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, overlay, string(text))
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", path, "./cmd/readmeprogram")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("README.md:%d: the program does not build: %v\n%s", programs[0].line, err, out)
	}
	return path
}

// The program in the README compiles, and does what it is there for, with the kernel's
// web server at 10.9.0.1 and without.
func TestProgramOfTheReadme(t *testing.T) {
	program := programOfTheReadme(t)
	for name, tt := range map[string]struct {
		serve       bool
		out, errors string
	}{
		"served":       {serve: true, out: "200 OK\n"},
		"nobody there": {errors: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := wire.Open(wire.TUN, wire.Config{}) // of which the namespace is used
			netnstest.Require(t, err)
			defer w.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if tt.serve {
				defer served(ctx, t, w.Namespace)()
			}
			var out, talk bytes.Buffer
			cmd := exec.CommandContext(ctx, program)
			cmd.Stdout, cmd.Stderr = &out, &talk
			if err := w.Namespace.Do(cmd.Start); err != nil { // it begins where the thread is
				t.Fatal(err)
			}
			err = cmd.Wait()
			if out.String() != tt.out || (err == nil) != tt.serve || !strings.Contains(talk.String(), tt.errors) || tt.serve && talk.Len() > 0 {
				t.Errorf("it ended with %v and said %q, %q", err, out.String(), talk.String())
			}
		})
	}
}

// served has the kernel serve HTTP with Fast Open. over says whether one client came from
// the program's address, and asked for a cookie.
func served(ctx context.Context, t *testing.T, ns *netns.Namespace) (over func()) {
	t.Helper()
	if err := kernelpeer.EnableFastOpen(ns); err != nil {
		t.Fatal(err)
	}
	srv, err := kernelpeer.Listen(ns, kernelpeer.ServerConfig{
		Address: netip.MustParseAddrPort("0.0.0.0:80"), FastOpen: 16, Handler: kernelpeer.HTTP,
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		defer srv.Close()
		if t.Failed() { // nobody may have come
			return
		}
		r, err := srv.Finished(ctx, 0)
		if err != nil || r.Remote.Addr().Unmap() != netip.MustParseAddr("10.9.0.2") || !bytes.HasPrefix(r.Received, []byte("GET / ")) {
			t.Errorf("the kernel served %v: %q, %v", r.Remote, r.Received, err)
		}
		if c, err := kernelpeer.ReadCounters(ns); err != nil || c != (kernelpeer.Counters{CookieReqd: 1}) {
			t.Errorf("the kernel counted %+v, %v", c, err)
		}
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
