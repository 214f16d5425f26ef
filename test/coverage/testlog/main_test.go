package main

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const passing = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA (0.00s)\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.01s\n"}
{"Action":"pass","Package":"p"}
{"Action":"skip","Package":"without/tests"}
`

func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		args        []string
		code        int
		want        []string
	}{
		{"passed", passing, []string{"--no-skips"}, exitOK, []string{"ok  \tp", "1 passed, 0 failed, 0 skipped", "PASS"}},
		{"failed", passing + `{"Action":"output","Package":"p","Test":"TestB","Output":"why\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
`, nil, exitFailed, []string{"p.TestB:\n    why", "1 failed"}},
		{"panicked", passing + `{"Action":"output","Package":"p","Test":"TestB","Output":"panic: no\n"}
{"Action":"fail","Package":"p"}
`, nil, exitFailed, []string{"panic: no", "FAIL"}},
		{"did not build", passing + `{"ImportPath":"p","Action":"build-output","Output":"x.go:1: no\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}
`, nil, exitFailed, []string{"x.go:1: no"}},
		{"skipped", passing + `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    x_test.go:1: no TUN\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
`, nil, exitOK, []string{"skipped: p.TestB: x_test.go:1: no TUN\n", "1 skipped"}},
		{"skipped with the mark", passing + `{"Action":"output","Package":"p","Test":"TestB","Output":"SKIP-PRIVILEGE: no TUN\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
`, nil, exitOK, []string{"skipped: p.TestB: SKIP-PRIVILEGE: no TUN\ntests: 1 passed, 0 failed, 1 skipped"}},
		{"skipped where it may not be", passing + `{"Action":"skip","Package":"p","Test":"TestB"}
`, []string{"--no-skips"}, exitFailed, []string{"nothing may be skipped"}},
		{"skipped in part where it may not be", strings.ReplaceAll(passing, `"--- PASS`, `"SKIP-PRIVILEGE: no TUN --- PASS`), []string{"--no-skips"}, exitFailed, []string{"(in part)"}},
		{"nothing ran", `{"Action":"skip","Package":"without/tests"}` + "\n", nil, exitFailed, []string{"no test ran"}},
		{"go's own words", "go: no such flag\n", nil, exitFailed, []string{"go: no such flag"}},
		{"unknown flag", "", []string{"--nonsense"}, exitUsage, nil},
		{"help", "", []string{"--help"}, exitOK, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(tc.args, strings.NewReader(tc.input), &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, want := range tc.want {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("printed\n%s\nwithout %q", stdout.String(), want)
				}
			}
		})
	}
}
