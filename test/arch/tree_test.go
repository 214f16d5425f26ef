package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/wskstack/wskstack"

// root is the repository's top directory.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// source is one Go file of the repository.
type source struct {
	path   string // from the root, with slashes
	text   []byte
	syntax *ast.File // with comments
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// room is the package's directory; "" is the root.
func (s *source) room() string {
	if dir := path.Dir(s.path); dir != "." {
		return dir
	}
	return ""
}

// imports are the file's import paths, with the names given to them.
func (s *source) imports() map[string]string {
	out := make(map[string]string)
	for _, i := range s.syntax.Imports {
		name := ""
		if i.Name != nil {
			name = i.Name.Name
		}
		out[strings.Trim(i.Path.Value, `"`)] = name
	}
	return out
}

// sources parses all Go files, those the go command ignores apart.
func sources(t *testing.T) []*source {
	t.Helper()
	top := root(t)
	var out []*source
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a file that was just replaced
			}
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != top && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "vendor") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), rel, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out = append(out, &source{path: filepath.ToSlash(rel), text: text, syntax: syntax})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("the repository has no Go files")
	}
	return out
}

// byRoom sorts files by package directory.
func byRoom(files []*source) map[string][]*source {
	out := make(map[string][]*source)
	for _, f := range files {
		out[f.room()] = append(out[f.room()], f)
	}
	return out
}

// graph maps every package that ours need, and ours, to its imports, without
// those of tests. The go command knows build constraints; we do not.
type graph map[string][]string

func loadGraph(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root(t)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, talk.String())
	}
	g := make(graph)
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		g[p.ImportPath] = p.Imports
	}
}

// chain finds the shortest way by which a package comes to import one that
// matches; nil if it never does.
func (g graph) chain(from string, matches func(string) bool) []string {
	type step struct {
		pkg  string
		prev *step
	}
	seen := map[string]bool{from: true}
	for queue := []*step{{pkg: from}}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0].pkg] {
			if seen[next] {
				continue
			}
			seen[next] = true
			s := &step{next, queue[0]}
			if !matches(next) {
				queue = append(queue, s)
				continue
			}
			var way []string
			for ; s != nil; s = s.prev {
				way = append([]string{s.pkg}, way...)
			}
			return way
		}
	}
	return nil
}
