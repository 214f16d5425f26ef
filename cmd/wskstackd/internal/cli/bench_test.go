package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/test/bench"
)

func TestBenchRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		say  string
	}{
		{[]string{"bench", "throughput", "--rounds", "0"}, exitUsage, "--rounds 0"},
		{[]string{"bench", "throughput", "--for", "-1s"}, exitUsage, "--for -1s"},
		{[]string{"bench", "throughput", "--peer", "clever"}, exitUsage, `"naive"`},
		{[]string{"bench", "throughput", "--plot", "x.png"}, exitUsage, ".svg"},
		{[]string{"bench", "connect", "--margin", "0.1"}, exitUsage, "--compare"},
		{[]string{"bench", "connect", "--any-machine"}, exitUsage, "--compare"},
		{[]string{"bench", "idle", "--for", "1s"}, exitUsage, "unknown flag"},
		{[]string{"bench", "layers", "more"}, exitUsage, "more"},
		{[]string{"bench", "nothing"}, exitUsage, "nothing"},
	} {
		r := run(t, c.args...)
		if r.code != c.code || !strings.Contains(r.err, c.say) || strings.Count(r.err, "\n") != 1 {
			t.Errorf("%q: exit code %d, %q; want %d, %q", c.args, r.code, r.err, c.code, c.say)
		}
	}
}

// TestBenchFiles: the JSON of one run is what the next is compared with, and every
// file that is asked for is written.
func TestBenchFiles(t *testing.T) {
	tunHere(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	r := ended(program(false, "bench", "connect", "--clients", "1", "--rounds", "1", "--for", "20ms", "--json", "--plot", at("p.svg"), "--cpuprofile", at("cpu")))
	if r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	rep, err := bench.ReadReport(strings.NewReader(r.out))
	if err != nil || rep.Kind != "connect" || len(rep.Rows) != 8 || rep.Machine != bench.ThisMachine() {
		t.Errorf("%+v, %v", rep, err)
	}
	for _, name := range []string{"p.svg", "cpu"} {
		if info, err := os.Stat(at(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(at("was.json"), []byte(r.out), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := ended(program(false, "bench", "idle", "--connections", "-1")); r.code != exitUsage || !strings.Contains(r.err, "-1 connections") {
		t.Errorf("%+v", r)
	}
	args := []string{"bench", "connect", "--clients", "1", "--rounds", "1", "--for", "20ms", "--compare", at("was.json")}
	if r := ended(program(false, args...)); r.code != exitOK || !strings.Contains(r.out, "no difference") {
		t.Errorf("%+v", r)
	}
	other := strings.Replace(r.out, `"cpus":`, `"cpus":9`, 1)
	if err := os.WriteFile(at("was.json"), []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := ended(program(false, args...)); r.code != exitFailure || !strings.Contains(r.err, "different machines") {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(at("was.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := ended(program(false, args...)); r.code != exitUsage || !strings.Contains(r.err, "make one with") {
		t.Errorf("%+v", r)
	}
}
