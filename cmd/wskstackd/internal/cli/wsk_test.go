package cli

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/wsk/scenario"
)

// write makes a file of a test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWSKHelp(t *testing.T) {
	for _, args := range [][]string{{"wsk"}, {"wsk", "--help"}, {"wsk", "run", "-h"}, {"help", "wsk", "list"}, {"wsk", "explain", "--help"}} {
		r := run(t, args...)
		examples, usage := strings.Index(r.out, "\nExamples:\n  "), strings.Index(r.out, "\nUsage:\n  wskstackd wsk")
		if r.code != exitOK || r.err != "" || examples < 0 || usage < examples {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

func TestWSKList(t *testing.T) {
	r := run(t, "wsk", "list")
	if r.code != exitOK || !strings.Contains(r.out, "connectex-fastopen ") {
		t.Errorf("%+v", r)
	}
	var list []struct{ Name, Title string }
	if err := json.Unmarshal([]byte(run(t, "wsk", "list", "--json").out), &list); err != nil || len(list) != strings.Count(r.out, "\n") || list[0].Title == "" {
		t.Errorf("%v: %v", err, list)
	}
}

func TestWSKExplain(t *testing.T) {
	r := run(t, "wsk", "explain", "STATUS_CANCELLED", "0xC0000236", "timeout", "S2", "i5")
	for _, want := range []string{"STATUS_CANCELLED (0xC0000120)", "STATUS_CONNECTION_REFUSED", "STATUS_TIMEOUT", "S2: WskCloseSocket", "is not checked:"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	if r.code != exitOK || r.err != "" || strings.Count(r.out, "\n\n") != 4 {
		t.Errorf("%+v", r)
	}
	for l := range strings.Lines(r.out) {
		if len(l) > 81 {
			t.Errorf("a long line: %s", l)
		}
	}
}

// Wrong usage is one line, exit code 2, and nothing on standard output.
func TestWSKWrongUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run"}, "nothing to run"},
		{[]string{"run", "no-such"}, "'wskstackd wsk list' lists them"},
		{[]string{"run", "no/such.yaml"}, "cannot be read"},
		{[]string{"run", "--builtin", "--family", "5"}, "use 4 or 6"},
		{[]string{"run", "--builtin", "--completion", "never"}, "use later, inline or random"},
		{[]string{"run", "--builtin", "--verifier", "shout"}, "use report, stop, count or off"},
		{[]string{"run", "--builtin", "--fault", "flood"}, "there is no fault \"flood\": use cancel-race"},
		{[]string{"run", "--builtin", "--low-resources", "-1"}, "counted from 1"},
		{[]string{"run", "--builtin", "--netns", "/x"}, "--netns goes with --peer HOST:PORT"},
		{[]string{"run", "--builtin", "--peer", "192.0.2.1"}, "is not HOST:PORT"},
		{[]string{"run", "--frobnicate"}, "see 'wskstackd wsk run --help'"},
		{[]string{"list", "extra"}, "see 'wskstackd wsk list --help'"},
		{[]string{"explain"}, "see 'wskstackd wsk explain --help'"},
		{[]string{"explain", "STATUS_FINE"}, "there is no code \"STATUS_FINE\""},
	} {
		r := run(t, append([]string{"wsk"}, c.args...)...)
		if r.code != exitUsage || r.out != "" || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "wskstackd: ") || !strings.Contains(r.err, c.want) {
			t.Errorf("%q: %+v, want exit code 2 and one line with %q", c.args, r, c.want)
		}
	}
}

// A file with a mistake is shown where it is wrong.
func TestWSKBadFile(t *testing.T) {
	file := write(t, "bad.yaml", "name: bad\ntitle: Wrong\nsteps:\n  - {do: sokcet, as: s}\n")
	r := run(t, "wsk", "run", file)
	if r.code != exitUsage || r.out != "" || !strings.Contains(r.err, "    4 |   - {do: sokcet, as: s}\n      |          ^\nwskstackd: "+file+":4:10: there is no verb") {
		t.Errorf("%+v", r)
	}
}

// The program runs scenarios in virtual time on its own, prints what came out, and
// fails if a scenario does.
func TestWSKRunAsProgram(t *testing.T) {
	good := write(t, "good.yaml", "name: good\ntitle: All is well\nsteps:\n  - {do: socket, category: connection, as: s}\n  - {do: pause, time: 1h}\nlimit: 1h\n")
	bad := write(t, "bad.yaml", "name: bad\ntitle: It fails\nsteps:\n  - {do: socket, category: datagram, as: s}\n  - {do: send-to, socket: s, remote: peer, data: x}\n")
	junit := filepath.Join(t.TempDir(), "report.xml")

	r := ended(program(false, "wsk", "run", good, "connectex-fastopen", "--junit", junit))
	if r.code != exitOK || r.err != "" || !strings.Contains(r.out, "ok    good: All is well (peer sim, 1h0m0s of virtual time, seed 1)\n") || strings.Contains(r.out, "PASS") {
		t.Errorf("%+v", r)
	}
	text, err := os.ReadFile(junit)
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
	}
	if err := xml.Unmarshal(text, &suite); err != nil || suite.Tests != 2 || suite.Failures != 0 {
		t.Errorf("%v, %+v", err, suite)
	}

	r = ended(program(false, "wsk", "run", bad, good))
	if r.code != exitFailure || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.out, "FAIL  bad: ") || !strings.Contains(r.out, "bad.yaml:5: send-to s: status is STATUS_INVALID_DEVICE_STATE, expected STATUS_SUCCESS") || !strings.Contains(r.out, "ok    good") {
		t.Errorf("%+v", r)
	}

	r = ended(program(false, "wsk", "run", bad, "--json"))
	var report struct {
		OK        bool
		Scenarios []scenario.Result
	}
	if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != exitFailure || report.OK || len(report.Scenarios) != 1 || len(report.Scenarios[0].Events) == 0 || len(report.Scenarios[0].Reports) != 1 {
		t.Errorf("%v: %+v", err, r)
	}

	// What the command line says goes before the scenario's knobs, and a seed gives the
	// same time line twice.
	args := []string{"wsk", "run", "connect-send-receive", "--completion", "random", "--seed", "9", "--timeline", "--family", "6"}
	once, twice := ended(program(false, args...)), ended(program(false, args...))
	if once.code != exitOK || once.out != twice.out || !strings.Contains(once.out, "inline ") || !strings.Contains(once.out, "seed 9") {
		t.Errorf("%+v\n%+v", once, twice)
	}
	if r := ended(program(false, "wsk", "run", "--builtin", "--junit", "/no/such/place")); r.code != exitFailure || !strings.Contains(r.err, "--junit") {
		t.Errorf("%+v", r)
	}
}

// The program makes a namespace for the kernel as the peer, and reaches a service as
// connect does.
func TestWSKRunAgainstTheKernel(t *testing.T) {
	netnstest.Require(t, netns.Available())
	r := ended(program(false, "wsk", "run", "connectex-fastopen", "datagram-echo", "--peer", "kernel"))
	if r.code != exitOK || r.err != "" || strings.Count(r.out, "ok    ") != 2 || !strings.Contains(r.out, "peer kernel") {
		t.Errorf("%+v", r)
	}
}

func TestWSKRunAgainstAService(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	target := listen(t, ns, nil)
	r := ended(program(false, "wsk", "run", "connectex-fastopen", "waitall", "--peer", target, "--netns", ns.Path()))
	if r.code != exitOK || r.err != "" || !strings.Contains(r.out, "ok    connectex-fastopen") || !strings.Contains(r.out, "skip  waitall: it plays the peer's part") {
		t.Errorf("%+v", r)
	}
}
