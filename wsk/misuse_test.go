package wsk_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// notFromCalls are the codes that no function of this provider answers, and why.
var notFromCalls = map[ntstatus.Status]string{
	ntstatus.Success:                "not an error",
	ntstatus.Pending:                "not an error",
	ntstatus.Timeout:                "only package await gives it",
	ntstatus.Unsuccessful:           "stands for errors of a transport that have no code of their own; see TestErrnoTable",
	ntstatus.NotImplemented:         "every slot is implemented",
	ntstatus.MoreProcessingRequired: "routines return nothing",
	ntstatus.RequestNotAccepted:     "an answer of AcceptEvent; every control can finish inline",
	ntstatus.InternalError:          "Windows' name resolution soon after boot",
	ntstatus.InvalidConnection:      "wrong states are STATUS_INVALID_DEVICE_STATE",
	ntstatus.InvalidAddress:         "bad addresses are STATUS_INVALID_ADDRESS_COMPONENT",
	ntstatus.DataNotAccepted:        "an answer of callbacks",
	ntstatus.PortUnreachable:        "errors about datagrams that were sent come when their requests are over",
	ntstatus.RequestAborted:         "an abort gives STATUS_CANCELLED or STATUS_CONNECTION_ABORTED",
	ntstatus.HopLimitExceeded:       "netstack does not tell its sockets of it",
}

// TestEveryStatusIsProvoked has each status that a function's comment names in the
// table of provocations for that function, and each code there or in the list of those
// that cannot come.
func TestEveryStatusIsProvoked(t *testing.T) {
	table, seen := map[string]bool{}, map[ntstatus.Status]bool{}
	for _, p := range provocations() {
		table[p.function+" "+p.status.String()] = true
		seen[p.status] = true
	}
	code := regexp.MustCompile(`STATUS_[A-Z_]+`)
	comments := 0
	for _, fn := range dispatchFuncs(t) {
		for _, name := range code.FindAllString(strings.ReplaceAll(fn.Doc.Text(), "\n", " "), -1) {
			if name == "STATUS_SUCCESS" || name == "STATUS_PENDING" {
				continue
			}
			comments++
			if !table[fn.Name.Name+" "+name] {
				t.Errorf("the comment of %s names %s, and no provocation has it: add one to status_test.go", fn.Name.Name, name)
			}
		}
	}
	if comments < 50 {
		t.Errorf("only %d statuses are named in comments: were they read?", comments)
	}
	for _, s := range allCodes(t) {
		if _, never := notFromCalls[s]; never == seen[s] {
			t.Errorf("%v: provoked %v, said never to come %v", s, seen[s], never)
		}
	}
}

// sources parses the files that match, without tests.
func sources(t *testing.T, pattern string) map[string]*ast.File {
	t.Helper()
	files := parse(t, pattern)
	maps.DeleteFunc(files, func(name string, _ *ast.File) bool { return strings.HasSuffix(name, "_test.go") })
	return files
}

// parse parses the files that match, by name.
func parse(t *testing.T, pattern string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files match %s: %v", pattern, err)
	}
	files := map[string]*ast.File{}
	for _, name := range names {
		if files[name], err = parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// allCodes are the constants of package ntstatus.
func allCodes(t *testing.T) []ntstatus.Status {
	t.Helper()
	var codes []ntstatus.Status
	for _, f := range sources(t, "ntstatus/codes.go") {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.INT {
				v, err := strconv.ParseUint(lit.Value, 0, 32)
				if err != nil {
					t.Fatal(err)
				}
				codes = append(codes, ntstatus.Status(v))
			}
			return true
		})
	}
	if len(codes) < 40 {
		t.Fatalf("found %d codes", len(codes))
	}
	return codes
}

// dispatchTypes are the types whose methods are functions of WSK.
var dispatchTypes = []string{"Registration", "ProviderDispatch", "BasicSocket", "ListenSocket", "DatagramSocket", "ConnectionSocket", "StreamSocket"}

// dispatchFuncs returns the declarations of WSK's functions: the exported methods of
// dispatchTypes and Provider.Register, in the order of the source.
func dispatchFuncs(t *testing.T) []*ast.FuncDecl {
	t.Helper()
	var all []*ast.FuncDecl
	for _, f := range sources(t, "*.go") {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Name.IsExported() && isDispatch(fn) {
				all = append(all, fn)
			}
		}
	}
	return all
}

func isDispatch(fn *ast.FuncDecl) bool {
	name := receiver(fn)
	if name == "Provider" {
		return fn.Name.Name == "Register"
	}
	for _, d := range dispatchTypes {
		if name == d {
			return true
		}
	}
	return false
}

// receiver is the type of a method's receiver, without the star.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) != 1 {
		return ""
	}
	if star, ok := fn.Recv.List[0].Type.(*ast.StarExpr); ok {
		if id, ok := star.X.(*ast.Ident); ok {
			return id.Name
		}
	}
	return ""
}

// inside are the methods that only tests see; they look inside and take no IRP.
var inside = map[string]bool{"StateOf": true, "Working": true, "Left": true}

// each calls f for every method of v's type that is a function of WSK, with a call
// whose arguments are all zero but the IRP.
func each(v reflect.Value, f func(name string, takesIRP bool, call func(i *irp.IRP) ntstatus.Status)) {
	for k := range v.NumMethod() {
		m := v.Type().Method(k)
		if inside[m.Name] || m.Type.NumOut() != 1 || m.Type.Out(0) != reflect.TypeFor[ntstatus.Status]() {
			continue
		}
		last := m.Type.NumIn() - 1
		takes := m.Type.In(last) == reflect.TypeFor[*irp.IRP]()
		f(m.Name, takes, func(i *irp.IRP) ntstatus.Status {
			var in []reflect.Value
			for a := 1; a <= last; a++ {
				in = append(in, reflect.Zero(m.Type.In(a)))
			}
			if takes {
				in[last-1] = reflect.ValueOf(i)
			}
			return v.Method(k).Call(in)[0].Interface().(ntstatus.Status)
		})
	}
}

// TestNoSocket calls every function of every category on no socket and on one that no
// provider made, and the client's functions on no table, with arguments that are all
// zero: STATUS_INVALID_PARAMETER, and the IRP has completed.
func TestNoSocket(t *testing.T) {
	covers.IDs(t, "P1")
	n := 0
	for _, v := range []any{
		(*wsk.BasicSocket)(nil), (*wsk.ListenSocket)(nil), (*wsk.DatagramSocket)(nil), (*wsk.ConnectionSocket)(nil), (*wsk.StreamSocket)(nil),
		&wsk.BasicSocket{}, &wsk.ListenSocket{}, &wsk.DatagramSocket{}, &wsk.ConnectionSocket{}, &wsk.StreamSocket{},
		(*wsk.ProviderDispatch)(nil), &wsk.ProviderDispatch{},
	} {
		each(reflect.ValueOf(v), func(name string, takesIRP bool, call func(*irp.IRP) ntstatus.Status) {
			n++
			if got := call(nil); got != ntstatus.InvalidParameter {
				t.Errorf("%T.%s without an IRP: %v", v, name, got)
			}
			if takesIRP {
				q := newRequest()
				q.inline(t, call(q.IRP), ntstatus.InvalidParameter)
			}
		})
	}
	if n < 60 {
		t.Errorf("%d functions were called", n)
	}
}

// TestZeroArguments calls every function of every category with arguments that are all
// zero, on sockets that are new, bound, connected and closed: no call panics and each
// IRP completes; a closed socket answers STATUS_FILE_FORCED_CLOSED.
func TestZeroArguments(t *testing.T) {
	covers.IDs(t, "P1")
	for name, make := range map[string]func(r *rig) *stage{
		"basic": func(r *rig) *stage { return r.on(cBasic, false, false) }, "listening, new": func(r *rig) *stage { return r.on(cListen, false, false) },
		"listening": func(r *rig) *stage { return r.on(cListen, true, false) }, "datagram, new": func(r *rig) *stage { return r.on(cDatagram, false, false) },
		"datagram": func(r *rig) *stage { return r.on(cDatagram, true, false) }, "connection, new": func(r *rig) *stage { return r.on(cConnection, false, false) },
		"connection, bound": func(r *rig) *stage { return r.on(cConnection, true, false) }, "connection": func(r *rig) *stage { return r.on(cConnection, true, true) },
		"stream, new": func(r *rig) *stage { return r.on(cStream, false, false) }, "stream": func(r *rig) *stage { return r.on(cStream, true, true) },
	} {
		t.Run(name, func(t *testing.T) {
			allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
				st := make(r)
				var pended []*request
				each(reflect.ValueOf(st.s), func(name string, takesIRP bool, call func(*irp.IRP) ntstatus.Status) {
					if name == "CloseSocket" {
						return
					}
					if got := call(nil); got.Success() {
						t.Errorf("%s without an IRP: %v", name, got)
					}
					if takesIRP {
						q := newRequest()
						if got := call(q.IRP); got == ntstatus.Pending {
							pended = append(pended, q)
						} else {
							q.settles(t, got)
						}
					}
				})
				r.shut(st.s)
				for _, q := range pended {
					q.settles(t, ntstatus.Pending)
				}
				each(reflect.ValueOf(st.s), func(name string, takesIRP bool, call func(*irp.IRP) ntstatus.Status) {
					if takesIRP {
						q := newRequest()
						q.inline(t, call(q.IRP), ntstatus.FileForcedClosed)
					}
				})
			})
		})
	}
}

// TestIRPsThatCannotBeTaken hands every function no IRP, and IRPs that are in use, used
// up and freed: STATUS_INVALID_PARAMETER, the IRP's own request is not touched, and
// the socket still works.
func TestIRPsThatCannotBeTaken(t *testing.T) {
	covers.IDs(t, "P1")
	for _, c := range goodCalls() {
		t.Run(c.name, func(t *testing.T) {
			allModes(t, func(t *testing.T, r *rig, _ wsk.CompletionMode) {
				other := r.on(cListen, true, false)
				inUse, used, freed := newRequest(), newRequest(), newRequest()
				inUse.pends(t, acceptAny(other, inUse.IRP)).open(t)
				used.settles(t, other.s.ControlSocket(wsk.GetOption, wsk.SO_TYPE, wsk.SOL_SOCKET, nil, make([]byte, 4), nil, used.IRP))
				freed.Free()

				st := c.stage(r)
				for name, i := range map[string]*irp.IRP{"none": nil, "in use": inUse.IRP, "used": used.IRP, "freed": freed.IRP} {
					if i == nil && c.name == "ControlSocket, events" {
						continue // these take none as well
					}
					if got := c.call(st, i); got != ntstatus.InvalidParameter {
						t.Errorf("%s: %v", name, got)
					}
				}
				inUse.open(t)
				if n, _, _ := used.snapshot(); n != 1 {
					t.Errorf("a used IRP was completed %d times", n)
				}
				q := newRequest()
				got := c.call(st, q.IRP)
				synctest.Wait()
				st.help()
				if result := q.settles(t, got); result.Status != ntstatus.Success {
					t.Errorf("afterwards the call completes with %v", result.Status)
				}
				r.tidy(st, q, c.name)
				r.shut(other.s)
				inUse.gives(t, ntstatus.Pending, ntstatus.Cancelled, 0)
			})
		})
	}
}
