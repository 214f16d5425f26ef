package await_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
)

// TestEveryVerbIsThere looks at every method of the dispatch tables that takes an IRP:
// package await has a function of its name. The two controls are one function for each
// thing that they can do.
func TestEveryVerbIsThere(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "verbs.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			have[f.Name.Name] = true
		}
	}
	have["ControlSocket"] = have["SetOption"] && have["GetOption"] && have["Ioctl"]
	have["ControlClient"] = have["TransportListChange"]
	verbs := map[string]bool{}
	for _, table := range []any{&wsk.ProviderDispatch{}, &wsk.BasicSocket{}, &wsk.ListenSocket{}, &wsk.ConnectionSocket{}, &wsk.DatagramSocket{}, &wsk.StreamSocket{}} {
		for i := range reflect.TypeOf(table).NumMethod() {
			m := reflect.TypeOf(table).Method(i)
			if n := m.Type.NumIn(); n > 1 && m.Type.In(n-1) == reflect.TypeFor[*irp.IRP]() {
				verbs[m.Name] = true
				if !have[m.Name] {
					t.Errorf("%s is not in verbs.go", m.Name)
				}
			}
		}
	}
	if len(verbs) < 20 {
		t.Errorf("only %d verbs were found", len(verbs))
	}
}
