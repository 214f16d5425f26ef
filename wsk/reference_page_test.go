package wsk_test

import (
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// referencePage is REFERENCE.md: the signatures of C are those of the list in
// reference_data_test.go, the signatures of Go those of the source.
func referencePage(t *testing.T) string {
	t.Helper()
	methods := map[string]*ast.FuncDecl{}
	for _, fn := range dispatchFuncs(t) {
		methods[receiver(fn)+"."+fn.Name.Name] = fn
	}
	var b strings.Builder
	b.WriteString(`<!-- Generated; do not edit. The lists are in reference_data_test.go. go test ./wsk -run TestReferencePage -wsk.update -->

# WSK in C and in Go

Each function and callback of wsk.h beside what stands for it here. Names and order are Windows'. What a function does is in its
comment (` + "`go doc github.com/wskstack/wskstack/wsk`" + `), which status it answers when in [STATUSES.md](STATUSES.md), what it
does in each state in [LIFECYCLES.md](LIFECYCLES.md).

## Types

`)
	pageTable(&b, []string{"C", "Go", ""}, referenceTypes)
	for _, section := range referenceFunctions {
		fmt.Fprintf(&b, "\n## %s\n", section.title)
		for _, f := range section.functions {
			fn := methods[f.on[0]+"."+f.method()]
			if fn == nil {
				t.Fatalf("reference_data_test.go: %s has no method %s", f.on[0], f.method())
			}
			left := cSignature(f.gives, f.c, f.sig)
			right := goSignature(fmt.Sprintf("func (%s *%s) %s", fn.Recv.List[0].Names[0].Name, f.on[0], f.method()), fn.Type)
			sideBySide(&b, f.c, left, right, f.notes())
		}
	}
	b.WriteString("\n## Callbacks\n")
	types := funcTypes(t)
	for _, c := range referenceCallbacks {
		if types[c.goes] == nil {
			t.Fatalf("reference_data_test.go: there is no type %s", c.goes)
		}
		sideBySide(&b, c.c, cSignature(c.gave, c.c, c.sig), goSignature("type "+c.goes+" func", types[c.goes]), c.note)
	}
	b.WriteString("\n## What differs from Windows\n\nThe last column is the test that shows our side.\n\n")
	pageTable(&b, []string{"", "Windows", "Here", "Test"}, referenceDifferences)
	return b.String()
}

// method is the name in Go.
func (f referenceFunction) method() string {
	if f.goes != "" {
		return f.goes
	}
	return strings.TrimPrefix(f.c, "Wsk")
}

// notes are where the function is and what there is to say.
func (f referenceFunction) notes() string {
	var all []string
	if f.slots != "" {
		all = append(all, strings.ToUpper(f.slots[:1])+f.slots[1:]+".")
	}
	if len(f.on) > 1 {
		all = append(all, "Also of `"+strings.Join(f.on[1:], "`, `")+"`.")
	}
	if f.note != "" {
		all = append(all, f.note)
	}
	return strings.Join(all, " ")
}

// sideBySide writes an entry: C left, Go right.
func sideBySide(b *strings.Builder, name, left, right, note string) {
	fmt.Fprintf(b, "\n### %s\n\n<table><tr><td>\n\n```c\n%s\n```\n\n</td><td>\n\n```go\n%s\n```\n\n</td></tr></table>\n", name, left, right)
	if note != "" {
		fmt.Fprintf(b, "\n%s\n", note)
	}
}

func pageTable(b *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(b, "| %s |\n%s|\n", strings.Join(head, " | "), strings.Repeat("|---", len(head)))
	for _, r := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(r, " | "))
	}
}

func cSignature(gives, name string, params []string) string {
	if gives == "" {
		gives = "NTSTATUS"
	}
	return fmt.Sprintf("%s %s(\n    %s);", gives, name, strings.Join(params, ",\n    "))
}

// goSignature prints a function with each parameter on a line of its own.
func goSignature(head string, typ *ast.FuncType) string {
	var params []string
	for _, field := range typ.Params.List {
		for _, name := range field.Names {
			params = append(params, "    "+name.Name+" "+source(field.Type)+",\n")
		}
		if len(field.Names) == 0 {
			params = append(params, "    "+source(field.Type)+",\n")
		}
	}
	text := head + "(\n" + strings.Join(params, "") + ")"
	if len(params) == 0 {
		text = head + "()"
	}
	if typ.Results != nil && len(typ.Results.List) == 1 {
		text += " " + source(typ.Results.List[0].Type)
	}
	return text
}

func source(e ast.Expr) string {
	var b strings.Builder
	if err := printer.Fprint(&b, token.NewFileSet(), e); err != nil {
		panic(err)
	}
	return b.String()
}

// funcTypes are the exported types of package wsk that are functions, its callbacks,
// and the completion routine of package irp.
func funcTypes(t *testing.T) map[string]*ast.FuncType {
	t.Helper()
	all := map[string]*ast.FuncType{}
	for _, dir := range []string{"", "irp."} {
		for _, f := range sources(t, strings.ReplaceAll(dir, ".", "/")+"*.go") {
			ast.Inspect(f, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
					if typ, ok := spec.Type.(*ast.FuncType); ok {
						all[dir+spec.Name.Name] = typ
					}
				}
				return true
			})
		}
	}
	return all
}

// keepPage compares a page with what it should be, or writes it.
func keepPage(t *testing.T, name, want string) {
	t.Helper()
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
		t.Errorf("%s is not up to date; run: go test ./wsk -run %s -wsk.update", name, t.Name())
	}
}

// TestReferencePage keeps REFERENCE.md the same as the source.
func TestReferencePage(t *testing.T) { keepPage(t, "REFERENCE.md", referencePage(t)) }

// TestReferenceIsComplete reads the page again, and compares it with what the compiler
// knows: every function of every category and of the client's tables, and every
// callback, is there, with its very types.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile("REFERENCE.md")
	if err != nil {
		t.Fatal(err)
	}
	printed := signatures(string(text))
	const hint = "add it to reference_data_test.go, with its signature in C, and run: go test ./wsk -run TestReferencePage -wsk.update"
	for _, v := range []any{
		(*wsk.Registration)(nil), (*wsk.ProviderDispatch)(nil), (*wsk.BasicSocket)(nil), (*wsk.ListenSocket)(nil),
		(*wsk.DatagramSocket)(nil), (*wsk.ConnectionSocket)(nil), (*wsk.StreamSocket)(nil),
	} {
		typ := reflect.TypeOf(v)
		for k := range typ.NumMethod() {
			m := typ.Method(k)
			if inside[m.Name] {
				continue
			}
			f := findReference(typ.Elem().Name(), m.Name)
			if f == nil {
				t.Errorf("%v.%s is not in REFERENCE.md: %s", typ, m.Name, hint)
				continue
			}
			want := typesOf(m.Type, 1)
			if got := printed[f.on[0]+"."+m.Name]; got != want {
				t.Errorf("%v.%s is printed as %s, and is %s: %s", typ, m.Name, got, want, hint)
			}
		}
	}
	if got, want := printed["Provider.Register"], typesOf(reflect.TypeFor[func(*wsk.ClientNPI, *wsk.Registration) ntstatus.Status](), 0); got != want {
		t.Errorf("Provider.Register is printed as %s, want %s", got, want)
	}
	for name := range funcTypes(t) {
		if !slices.ContainsFunc(referenceCallbacks, func(c referenceCallback) bool { return c.goes == name }) {
			t.Errorf("the callback %s is not in REFERENCE.md: %s", name, hint)
		}
	}
	for name, typ := range map[string]reflect.Type{
		"AcceptEvent": reflect.TypeFor[wsk.AcceptEvent](), "InspectEvent": reflect.TypeFor[wsk.InspectEvent](),
		"AbortEvent": reflect.TypeFor[wsk.AbortEvent](), "ReceiveEvent": reflect.TypeFor[wsk.ReceiveEvent](),
		"DisconnectEvent": reflect.TypeFor[wsk.DisconnectEvent](), "SendBacklogEvent": reflect.TypeFor[wsk.SendBacklogEvent](),
		"ReceiveFromEvent": reflect.TypeFor[wsk.ReceiveFromEvent](), "irp.CompletionRoutine": reflect.TypeFor[irp.CompletionRoutine](),
	} {
		want := strings.ReplaceAll(typesOf(typ, 0), "*irp.IRP", "*IRP")
		if got := strings.ReplaceAll(printed[name], "*irp.IRP", "*IRP"); got != want {
			t.Errorf("%s is printed as %s, and is %s: %s", name, got, want, hint)
		}
	}
}

// TestDifferencesAreShown has each test that the table of differences names.
func TestDifferencesAreShown(t *testing.T) {
	tests := map[string]bool{}
	for _, pattern := range []string{"*_test.go", "irp/*_test.go", "onstack/*_test.go"} {
		for _, f := range parse(t, pattern) {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					tests[fn.Name.Name] = true
				}
			}
		}
	}
	for _, row := range referenceDifferences {
		if len(row) != 4 || row[3] != "" && !tests[row[3]] {
			t.Errorf("%q: there is no test %s", row[0], row[len(row)-1])
		}
	}
}

// findReference is the list's entry of a method.
func findReference(typ, method string) *referenceFunction {
	for _, section := range referenceFunctions {
		for k := range section.functions {
			f := &section.functions[k]
			if f.method() == method && slices.Contains(f.on, typ) {
				return f
			}
		}
	}
	return nil
}

// typesOf are the types of a function's parameters, from the first, and of its result.
func typesOf(typ reflect.Type, first int) string {
	var all []string
	for k := first; k < typ.NumIn(); k++ {
		all = append(all, typ.In(k).String())
	}
	result := ""
	if typ.NumOut() == 1 {
		result = typ.Out(0).String()
	}
	text := "(" + strings.Join(all, ", ") + ") " + result
	return strings.NewReplacer("wsk.", "", "interface {}", "any", "[]uint8", "[]byte").Replace(text)
}

var (
	goBlock   = regexp.MustCompile("(?s)```go\n(.*?)\n```")
	methodRow = regexp.MustCompile(`^func \(\w+ \*(\w+)\) (\w+)\(`)
	typeRow   = regexp.MustCompile(`^type ([\w.]+) func\(`)
)

// signatures are the types that a page prints in its blocks of Go, by type and method
// or by the type's name.
func signatures(page string) map[string]string {
	all := map[string]string{}
	for _, block := range goBlock.FindAllStringSubmatch(page, -1) {
		lines := strings.Split(block[1], "\n")
		name := ""
		if m := methodRow.FindStringSubmatch(lines[0]); m != nil {
			name = m[1] + "." + m[2]
		} else if m := typeRow.FindStringSubmatch(lines[0]); m != nil {
			name = m[1]
		}
		var params []string
		for _, line := range lines[1:] {
			if p, ok := strings.CutPrefix(line, "    "); ok {
				_, typ, named := strings.Cut(strings.TrimSuffix(p, ","), " ")
				if !named {
					typ = strings.TrimSuffix(p, ",")
				}
				params = append(params, typ)
			}
		}
		_, result, _ := strings.Cut(lines[len(lines)-1], ")")
		if len(lines) == 1 {
			_, result, _ = strings.Cut(lines[0], "()")
		}
		all[name] = "(" + strings.Join(params, ", ") + ") " + strings.TrimSpace(result)
	}
	return all
}

// TestStatusesPage keeps STATUSES.md the same as the table of provocations.
func TestStatusesPage(t *testing.T) { keepPage(t, "STATUSES.md", statusesPage()) }

// statusesPage is STATUSES.md.
func statusesPage() string {
	type key struct {
		function string
		status   ntstatus.Status
	}
	reasons := map[key][]string{}
	for _, p := range provocations() {
		k := key{p.function, p.status}
		when := p.when
		for _, category := range []string{", connection", ", stream", ", listening", ", datagram", ", basic"} {
			when = strings.TrimSuffix(when, category)
		}
		if !slices.Contains(reasons[k], when) {
			reasons[k] = append(reasons[k], when)
		}
	}
	keys := make([]key, 0, len(reasons))
	for k := range reasons {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		if c := strings.Compare(a.function, b.function); c != 0 {
			return c
		}
		return strings.Compare(a.status.String(), b.status.String())
	})
	var b strings.Builder
	b.WriteString(`<!-- Generated from the table in status_test.go; do not edit. go test ./wsk -run TestStatusesPage -wsk.update -->

# Which status comes when

Each row is provoked by a test, for every reason, category and completion mode; the IRP, if there is one, completes once with
that status. Beside these, every function that takes an IRP answers STATUS_INVALID_PARAMETER, and touches nothing, for no IRP and for one that is in
use, used up or freed; STATUS_INVALID_PARAMETER for no socket; and completes an IRP that was cancelled before with
STATUS_CANCELLED.

| Function | Status | When |
|---|---|---|
`)
	for _, k := range keys {
		slices.Sort(reasons[k])
		fmt.Fprintf(&b, "| %s | %v | %s |\n", k.function, k.status, strings.Join(reasons[k], "; "))
	}
	b.WriteString("\n## Codes that no function answers\n\n| Status | Why |\n|---|---|\n")
	var never []ntstatus.Status
	for s := range notFromCalls {
		if s != ntstatus.Success && s != ntstatus.Pending {
			never = append(never, s)
		}
	}
	slices.Sort(never)
	for _, s := range never {
		fmt.Fprintf(&b, "| %v | %s |\n", s, notFromCalls[s])
	}
	return b.String()
}
