package cli

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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
		{[]string{"bench", "connect", "--margin", "NaN", "--compare", "x"}, exitUsage, "--margin NaN"},
		{[]string{"bench", "show"}, exitUsage, "arg"},
		{[]string{"bench", "show", "x", "--margin", "-1"}, exitUsage, "--margin -1"},
		{[]string{"bench", "show", "testdata/no such file"}, exitFailure, "no such file"},
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
	if err != nil || rep.Kind != "connect" || len(rep.Rows) != 10 || rep.Machine != bench.ThisMachine() {
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

// TestBenchShow: files of other runs, shown and compared without a privilege.
func TestBenchShow(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	report := func(kind, cpus, samples string) string {
		return `{"format": 1, "kind": "` + kind + `", "machine": {"processor": "p", "cpus": ` + cpus + `, "memory_gib": 1, "kernel": "k", "go": "g"},
			"rounds": 5, "foreign": 0, "rows": [{"name": "throughput: up, 1 flow, MTU 1500", "metric": "throughput", "unit": "Gbit/s", "lower_is_better": false,
			"columns": [{"subject": "kernel", "samples": [10, 10, 10, 10, 10]}, {"subject": "wskstack", "samples": [` + samples + `]}]}]}`
	}
	was := file("was.json", report("throughput", "2", "5, 5, 5, 5, 5"))
	slow := file("slow.json", report("throughput", "2", "2, 2, 2, 2, 2"))
	other := file("other.json", report("throughput", "3", "5, 5, 5, 5, 5"))
	table := file("table.json", report("table", "2", "5, 5, 5, 5, 5"))
	plot := filepath.Join(dir, "p.svg")
	for _, c := range []struct {
		args     []string
		code     int
		out, err string
	}{
		{[]string{was, "--plot", plot}, exitOK, "0.500 [0.500-0.500]", ""},
		{[]string{table}, exitOK, "| bulk up against the kernel's veth, with CUBIC | ≥ 0.25 | ≥ 0.4 | 0.500 [0.500-0.500] | aim |", ""},
		{[]string{slow, "--compare", was}, exitOK, "-60.0 %", ""},
		{[]string{slow, "--compare", was, "--margin", "0.5"}, exitFailure, "WORSE", "slower"},
		{[]string{other, "--compare", was}, exitFailure, "", "different machines"},
		{[]string{other, "--compare", was, "--any-machine"}, exitOK, "no difference", ""},
		{[]string{table, "--compare", was}, exitUsage, "", "bench throughput"},
		{[]string{file("cut.json", report("throughput", "2", "5")[:200])}, exitUsage, "", "not a whole one"},
		{[]string{file("new.json", `{"format": 2, "novelty": []}`)}, exitUsage, "", "it has the format 2, this program knows 1: make one with"},
		{[]string{file("empty.json", "")}, exitUsage, "", "make one with"},
		{[]string{was, "--compare", file("half.json", "{")}, exitUsage, "", "make one with"},
	} {
		r := run(t, append([]string{"bench", "show"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.out, c.out) || !strings.Contains(r.err, c.err) || (c.err == "" && r.err != "") {
			t.Errorf("%q: %+v, want %+v", c.args, r, c)
		}
	}
	if info, err := os.Stat(plot); err != nil || info.Size() == 0 {
		t.Errorf("%s: %v", plot, err)
	}
}

// TestHelpHasTheReportsFields: whoever reads the JSON finds its fields in the help.
func TestHelpHasTheReportsFields(t *testing.T) {
	helpHas(t, "", bench.Report{}, bench.Machine{}, bench.Row{}, bench.Column{})
}

func helpHas(t *testing.T, command string, objects ...any) {
	t.Helper()
	help := run(t, append([]string{"help", "bench"}, strings.Fields(command)...)...).out
	for _, of := range objects {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(of)) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(help) {
				t.Errorf("%T: %q is not in the help", of, name)
			}
		}
	}
}
