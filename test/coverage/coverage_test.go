package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The claim of the whole command, about this repository.
func TestEveryDeliveredItemHasATest(t *testing.T) {
	rep, err := assemble("", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rep.Problems {
		t.Error(p)
	}
	if len(rep.Missing) > 0 {
		t.Errorf("%d delivered items have no test: %s", len(rep.Missing), strings.Join(rep.Missing, " "))
	}
}

// repository writes a small tree: the four pages, each with the rows given for
// it, and one test file.
func repository(t *testing.T, rows map[string]string, test string) string {
	t.Helper()
	root := t.TempDir()
	fixed := map[string]string{
		"BEHAVIOUR.md": "| C-01 | delivered | Asks. | x |",
		"HAZARDS.md":   "| H-01 | later | Breaks. | x |",
		"PROMISES.md":  "| P1 | partly | Once. | x |",
		"NETSTACK.md":  "| PIN-a-b | later | Is so. | x |",
	}
	for page, row := range fixed {
		if own, ok := rows[page]; ok {
			row = own
		}
		write(t, filepath.Join(root, page), "# Page\n\n| Other | table |\n|---|---|\n| C-77 | no row of the catalogue |\n\n| ID | Status | Text | From |\n|---|---|---|---|\n"+row+"\n")
	}
	write(t, filepath.Join(root, "pkg", "x_test.go"), test)
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// header opens a test file that imports the covers package under its own name.
const header = `package x
import ("testing"; "github.com/wskstack/wskstack/test/covers")
`

func TestProofs(t *testing.T) {
	for _, tc := range []struct {
		name, test string
		want       string // names of the tests for C-01, or the problem
	}{
		{"in the test", `func TestA(t *testing.T) { covers.IDs(t, "H-01", "C-01") }`, "pkg.TestA"},
		{"in a subtest", `func TestA(t *testing.T) { t.Run("over IPv4", func(t *testing.T) { covers.IDs(t, "C-01") }) }`, "pkg.TestA/over_IPv4"},
		{"in a nested subtest", `func TestA(t *testing.T) { t.Run("a", func(t *testing.T) { t.Run("b", func(t *testing.T) { covers.IDs(t, "C-01") }) }) }`, "pkg.TestA/a/b"},
		{"in a subtest named at run time", `func TestA(t *testing.T) { for _, n := range names { t.Run(n, func(t *testing.T) { covers.IDs(t, "C-01") }) } }`, "pkg.TestA/*"},
		{"in a fuzz target", `func FuzzA(f *testing.F) { covers.IDs(f, "C-01") }`, "pkg.FuzzA"},
		{"in a helper", `func TestA(t *testing.T) { one(t) }; func TestB(t *testing.T) { one(t) }; func one(t *testing.T) { two(t) }; func two(t *testing.T) { covers.IDs(t, "C-01") }`, "pkg.TestA pkg.TestB"},
		{"in a table", `var cases = []func(*testing.T){ func(t *testing.T) { covers.IDs(t, "C-01") } }; func TestA(t *testing.T) { for _, c := range cases { c(t) } }`, "pkg.TestA"},
		{"in a helper without a test", `func one(t *testing.T) { covers.IDs(t, "C-01") }; func TestA(t *testing.T) {}`, "no test of the package reaches"},
		{"name that is no test", `func Testing(t *testing.T) { covers.IDs(t, "C-01") }`, "no test of the package reaches"},
		{"computed identifier", `func TestA(t *testing.T) { covers.IDs(t, id) }`, "string literals only"},
		{"no identifier", `func TestA(t *testing.T) { covers.IDs(t) }`, "names no item"},
		{"unknown identifier", `func TestA(t *testing.T) { covers.IDs(t, "C-01"); covers.IDs(t, "C-02") }`, `"C-02" is in none of`},
		{"missing", `func TestA(t *testing.T) {}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rep, err := assemble(repository(t, nil, header+tc.test), "")
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, r := range rep.Items[0].Tests {
				names = append(names, r.name())
			}
			got := strings.Join(names, " ")
			if len(rep.Problems) > 0 {
				got = strings.Join(rep.Problems, "; ")
				if !strings.Contains(got, tc.want) || tc.want == "" {
					t.Fatalf("problems %q, want %q", got, tc.want)
				}
			} else if got != tc.want {
				t.Fatalf("tests of C-01: %q, want %q", got, tc.want)
			}
			if ok := strings.HasPrefix(tc.want, "pkg."); rep.OK != ok {
				t.Errorf("ok is %v, want %v", rep.OK, ok)
			}
		})
	}
}

func TestImportUnderAnotherName(t *testing.T) {
	root := repository(t, nil, `package x
import ("testing"; proves "github.com/wskstack/wskstack/test/covers")
func TestA(t *testing.T) { proves.IDs(t, "C-01") }`)
	if rep, err := assemble(root, ""); err != nil || !rep.OK {
		t.Fatalf("ok %v, error %v", rep.OK, err)
	}
}

// A test file that does not build here proves nothing here.
func TestFilesForOtherPlatformsAndTestdataDoNotCount(t *testing.T) {
	const proof = `func TestA(t *testing.T) { covers.IDs(t, "C-01") }`
	root := repository(t, nil, "//go:build never\n\n"+header+proof)
	write(t, filepath.Join(root, "pkg", "testdata", "y_test.go"), header+proof)
	write(t, filepath.Join(root, ".hidden", "y_test.go"), header+proof)
	rep, err := assemble(root, "")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(rep.Missing, " ") != "C-01" {
		t.Fatalf("missing %q, want C-01", rep.Missing)
	}
}

func TestFaultyPagesAreRefused(t *testing.T) {
	for _, tc := range []struct{ name, rows, want string }{
		{"unknown status", "| C-01 | soon | Asks. | x |", "delivered, partly or later"},
		{"twice", "| C-01 | later | Asks. | x |\n| C-01 | later | Asks. | x |", "twice"},
		{"hole", "| C-01 | later | Asks. | x |\n| C-03 | later | Asks. | x |", "number 2 of its series"},
		{"no identifier", "| C-1 | later | Asks. | x |", "is no row of the catalogue"},
		{"no rows", "", "no table with a column ID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := assemble(repository(t, map[string]string{"BEHAVIOUR.md": tc.rows}, "package x\n"), "")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestOnlyPassedTestsCountWithResults(t *testing.T) {
	root := repository(t, nil, header+`func TestA(t *testing.T) { covers.IDs(t, "C-01"); t.Run("b", func(t *testing.T) { covers.IDs(t, "H-01") }) }`)
	event := func(action, test string) string {
		return `{"Action":"` + action + `","Package":"github.com/wskstack/wskstack/pkg","Test":"` + test + `"}` + "\n"
	}
	for _, tc := range []struct {
		name, events string
		ok           bool
	}{
		{"passed", "go: downloading\n" + event("run", "TestA") + event("pass", "TestA"), true},
		{"skipped", event("skip", "TestA") + event("pass", "TestB"), false},
		{"of another package", `{"Action":"pass","Package":"github.com/wskstack/wskstack/other","Test":"TestA"}` + "\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "results")
			write(t, file, tc.events)
			rep, err := assemble(root, file)
			if err != nil {
				t.Fatal(err)
			}
			if rep.OK != tc.ok {
				t.Errorf("ok is %v, want %v", rep.OK, tc.ok)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "results")
	write(t, file, event("fail", "TestA"))
	if _, err := assemble(root, file); err == nil {
		t.Error("results without a passed test were taken")
	}
}

func TestCommand(t *testing.T) {
	good := repository(t, nil, header+`func TestA(t *testing.T) { covers.IDs(t, "C-01") }`)
	bad := repository(t, nil, "package x\n")
	for _, tc := range []struct {
		name   string
		args   []string
		code   int
		stdout string
	}{
		{"proven", []string{"--root", good}, exitOK, "pkg.TestA"},
		{"owed", []string{"--root", bad}, exitOwed, "MISSING"},
		{"only what is owed", []string{"--root", bad, "--missing"}, exitOwed, "C-01  Asks. (BEHAVIOUR.md)\n0 of 1"},
		{"no such tree", []string{"--root", filepath.Join(good, "pkg")}, exitUsage, ""},
		{"unknown flag", []string{"--nonsense"}, exitUsage, ""},
		{"argument", []string{"C-01"}, exitUsage, ""},
		{"help", []string{"--help"}, exitOK, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(tc.args, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d; %s", code, tc.code, stderr.String())
			}
			if !strings.Contains(stdout.String(), tc.stdout) {
				t.Errorf("printed %q, want %q in it", stdout.String(), tc.stdout)
			}
		})
	}

	var stdout, stderr bytes.Buffer
	run([]string{"--root", bad, "--json"}, &stdout, &stderr)
	var rep struct {
		OK      bool
		Missing []string
		Items   []struct{ ID, Status string }
	}
	if err := json.Unmarshal(stdout.Bytes(), &rep); err != nil {
		t.Fatal(err)
	}
	if rep.OK || strings.Join(rep.Missing, " ") != "C-01" || len(rep.Items) != 4 {
		t.Errorf("JSON says %+v", rep)
	}
}
