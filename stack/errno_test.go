package stack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/syserr"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// ours are the rows that differ from gVisor's own table, which serves a kernel
// and panics at errors that its kernel never sees.
var ours = map[string]syscall.Errno{
	"ErrNoPortAvailable":  syscall.EADDRNOTAVAIL,   // theirs: EAGAIN
	"ErrClosedForReceive": syscall.ESHUTDOWN,       // theirs: no error
	"ErrInvalidNICID":     syscall.EINVAL,          // theirs: a panic
	"ErrUnknownProtocol":  syscall.EPROTONOSUPPORT, // theirs: EINVAL
}

// TestErrnoTable walks every row: each translates to itself, and as gVisor's own
// table does unless it is one of ours.
func TestErrnoTable(t *testing.T) {
	if err := toErrno(nil); err != nil {
		t.Errorf("nil is %v", err)
	}
	for typ, want := range errnoTable {
		e := reflect.New(typ.Elem()).Interface().(tcpip.Error)
		name := typ.Elem().Name()
		if got := toErrno(e); got != want {
			t.Errorf("%s is %v, the table says %v", name, got, want)
		}
		if own, ok := ours[name]; ok {
			if want != own {
				t.Errorf("%s is %v, want %v", name, want, own)
			}
			continue
		}
		if theirs := syscall.Errno(syserr.TranslateNetstackError(e).ToLinux()); want != theirs {
			t.Errorf("%s is %v; gVisor says %v", name, want, theirs)
		}
	}
}

// TestErrnoTableIsWhole fails when gVisor has an error that the table does not
// know: it reads gVisor's source for types with the method isError.
func TestErrnoTableIsWhole(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "gvisor.dev/gvisor/pkg/tcpip").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	known := make(map[string]bool)
	for typ := range errnoTable {
		known[typ.Elem().Name()] = true
	}
	found := 0
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go"))
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv == nil || fn.Name.Name != "isError" {
				continue
			}
			star, ok := fn.Recv.List[0].Type.(*ast.StarExpr)
			if !ok {
				continue
			}
			name := star.X.(*ast.Ident).Name
			found++
			if !known[name] {
				t.Errorf("gVisor's tcpip.%s is not in the table", name)
			}
		}
	}
	if found < len(errnoTable) {
		t.Errorf("found %d error types in gVisor's source, the table has %d rows", found, len(errnoTable))
	}
}
