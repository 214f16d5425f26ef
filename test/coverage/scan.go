package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// coversPath ends the import path of the package whose calls are looked for.
const coversPath = "/test/covers"

// ref is one identifier named by one test.
type ref struct {
	ID      string `json:"-"`
	Package string `json:"package"` // directory below the root, slashes; "." for the root
	Test    string `json:"test"`    // TestName, or TestName/subtest; a name made at run time is *
	Place   string `json:"place"`   // file:line below the root
}

func (r ref) name() string { return r.Package + "." + r.Test }

// decl is one top-level declaration of a test file.
type decl struct {
	names []string        // what it declares
	sites []ref           // calls in it, Test holding only the subtest path
	uses  map[string]bool // every identifier in it
}

// scanTests reads every test file below root that builds on this platform.
// Problems are faults of the tests, each with its place; err is a file that
// cannot be read or parsed.
func scanTests(root string) (refs []ref, problems []string, err error) {
	packages := map[string][]decl{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		if builds, err := build.Default.MatchFile(filepath.Dir(path), name); err != nil || !builds {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		decls, faults, err := scanFile(path, filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		packages[dir] = append(packages[dir], decls...)
		problems = append(problems, faults...)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for dir, decls := range packages {
		found, faults := attribute(dir, decls)
		refs = append(refs, found...)
		problems = append(problems, faults...)
	}
	slices.SortFunc(refs, func(a, b ref) int {
		return strings.Compare(a.ID+" "+a.name()+" "+a.Place, b.ID+" "+b.name()+" "+b.Place)
	})
	slices.Sort(problems)
	return slices.CompactFunc(refs, func(a, b ref) bool { return a.ID == b.ID && a.name() == b.name() }), problems, nil
}

// scanFile returns the top-level declarations of one test file, with the calls
// of covers.IDs in them. rel is the file's name for messages.
func scanFile(path, rel string) (decls []decl, problems []string, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	covers := importName(file)
	for _, top := range file.Decls {
		d := decl{names: declared(top), uses: map[string]bool{}}
		s := scanner{set: set, rel: rel, covers: covers, decl: &d}
		s.walk(top, nil)
		problems = append(problems, s.problems...)
		decls = append(decls, d)
	}
	return decls, problems, nil
}

// importName is what the file calls the covers package; empty if it does not
// import it.
func importName(file *ast.File) string {
	for _, imp := range file.Imports {
		path, err := strconv.Unquote(imp.Path.Value)
		if err != nil || !strings.HasSuffix(path, coversPath) {
			continue
		}
		if imp.Name != nil {
			return imp.Name.Name
		}
		return "covers"
	}
	return ""
}

// declared returns the names that a top-level declaration makes.
func declared(top ast.Decl) []string {
	switch top := top.(type) {
	case *ast.FuncDecl:
		return []string{top.Name.Name}
	case *ast.GenDecl:
		var names []string
		for _, spec := range top.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					names = append(names, id.Name)
				}
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			}
		}
		return names
	}
	return nil
}

// scanner collects the calls in one declaration.
type scanner struct {
	set      *token.FileSet
	rel      string
	covers   string
	decl     *decl
	problems []string
}

// walk visits node; subtests are the names of the t.Run calls around it.
func (s *scanner) walk(node ast.Node, subtests []string) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			s.decl.uses[n.Name] = true
		case *ast.CallExpr:
			if name, body, ok := subtest(n); ok {
				s.walk(n.Fun, subtests)
				s.walk(n.Args[0], subtests)
				s.walk(body, append(slices.Clone(subtests), name))
				return false
			}
			if s.isCovers(n) {
				s.site(n, subtests)
			}
		}
		return true
	})
}

func (s *scanner) isCovers(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != "IDs" || s.covers == "" {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == s.covers
}

// site records one call of covers.IDs.
func (s *scanner) site(call *ast.CallExpr, subtests []string) {
	place := fmt.Sprintf("%s:%d", s.rel, s.set.Position(call.Pos()).Line)
	if len(call.Args) < 2 {
		s.problems = append(s.problems, place+": covers.IDs names no item")
		return
	}
	for _, arg := range call.Args[1:] {
		id, ok := literal(arg)
		if !ok {
			s.problems = append(s.problems, place+": covers.IDs takes string literals only")
			continue
		}
		s.decl.sites = append(s.decl.sites, ref{ID: id, Test: strings.Join(subtests, "/"), Place: place})
	}
}

// subtest recognises x.Run(name, func(...) {...}).
func subtest(call *ast.CallExpr) (name string, body *ast.FuncLit, ok bool) {
	sel, isSel := call.Fun.(*ast.SelectorExpr)
	if !isSel || sel.Sel.Name != "Run" || len(call.Args) != 2 {
		return "", nil, false
	}
	body, ok = call.Args[1].(*ast.FuncLit)
	if !ok {
		return "", nil, false
	}
	name, known := literal(call.Args[0])
	if !known {
		return "*", body, true
	}
	return strings.ReplaceAll(name, " ", "_"), body, true
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// testForm is the name of a function that go test runs by itself.
var testForm = regexp.MustCompile(`^(?:Test|Fuzz)(?:[^a-z].*)?$`)

// attribute gives every call to the tests of its package that reach it: itself,
// if it stands in a test, else each test that uses the helper or the table it
// stands in, directly or through others.
func attribute(dir string, decls []decl) (refs []ref, problems []string) {
	for _, d := range decls {
		if len(d.sites) == 0 {
			continue
		}
		tests := reaching(d, decls)
		for _, s := range d.sites {
			if len(tests) == 0 {
				problems = append(problems, s.Place+": no test of the package reaches this covers.IDs")
			}
			for _, test := range tests {
				r := s
				r.Package = dir
				r.Test = test
				if s.Test != "" {
					r.Test += "/" + s.Test
				}
				refs = append(refs, r)
			}
		}
	}
	return refs, problems
}

// reaching returns the names of the tests among decls that use d, sorted.
func reaching(d decl, decls []decl) []string {
	var tests []string
	reached := map[string]bool{}
	queue := slices.Clone(d.names)
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if reached[name] {
			continue
		}
		reached[name] = true
		if testForm.MatchString(name) {
			tests = append(tests, name)
			continue
		}
		for _, user := range decls {
			if user.uses[name] {
				queue = append(queue, user.names...)
			}
		}
	}
	slices.Sort(tests)
	return tests
}
