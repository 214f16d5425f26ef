package wskrun

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/wsk/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("wskrun.update", false, "write what comes out into the files that it is compared with")

// builtin are the scenarios that come with the program.
func builtin(t *testing.T) []*scenario.Scenario {
	t.Helper()
	list, err := scenario.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// report is a result in words.
func report(r scenario.Result) string {
	var b strings.Builder
	_ = r.WriteText(&b, true) // a strings.Builder takes everything
	return b.String()
}

// sim runs a scenario against the simulated peer.
func sim(t *testing.T, sc *scenario.Scenario, knobs scenario.Knobs, family int) scenario.Result {
	t.Helper()
	r, err := all(t.Context(), Options{Peer: PeerSim, Family: family, Test: t}, sc, knobs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestBuiltinSim runs every scenario as it stands, in both families.
func TestBuiltinSim(t *testing.T) {
	for _, sc := range builtin(t) {
		for _, family := range []int{4, 6} {
			if r := sim(t, sc, sc.Knobs, family); !r.OK || r.Skipped != "" {
				t.Errorf("IPv%d:\n%s", family, report(r))
			} else if sc.Sweep != "" && r.Sweep < 10 {
				t.Errorf("%s made only %d requests fail", sc.Name, r.Sweep)
			}
		}
	}
}

// TestBuiltinWithFaults disturbs every scenario in every way, in every completion mode:
// what is expected need not come out, all else holds.
func TestBuiltinWithFaults(t *testing.T) {
	faults := [][]string{{}, {"fail-sites"}, {"cancel-race", "delay"}, {"short-io", "fast-open"}, scenario.FaultNames()}
	for _, sc := range builtin(t) {
		for i, names := range faults {
			knobs := sc.Knobs
			knobs.Seed = uint64(i + 1)
			var err error
			if knobs.Faults, err = scenario.ParseFaults(names); err != nil {
				t.Fatal(err)
			}
			if knobs.Completion, err = scenario.ParseCompletion([]string{"later", "inline", "random"}[i%3]); err != nil {
				t.Fatal(err)
			}
			if r := sim(t, sc, knobs, 4); !r.OK {
				t.Errorf("with %v, seed %d:\n%s", names, knobs.Seed, report(r))
			}
		}
	}
}

// TestReplay: the same scenario, seed and knobs give the same time line, packet for
// packet; another seed, on a lossy path, gives another.
func TestReplay(t *testing.T) {
	for _, sc := range builtin(t) {
		knobs := sc.Knobs
		if knobs.Faults.Delay || knobs.Faults.CancelRace {
			continue // their order at one instant is the scheduler's
		}
		knobs.Completion = 2 // random
		var lines [2]string
		var hashes [2]uint64
		for i := range lines {
			r, wire := simulate(t.Context(), t, sc, knobs, 4)
			lines[i], hashes[i] = report(r), wire.Hash
		}
		if lines[0] != lines[1] || hashes[0] != hashes[1] {
			t.Errorf("%s came out as\n%sand as\n%s", sc.Name, lines[0], lines[1])
		}
		if sc.Loss > 0 {
			knobs.Seed++
			if _, wire := simulate(t.Context(), t, sc, knobs, 4); wire.Hash == hashes[0] {
				t.Errorf("%s: another seed gives the same packets", sc.Name)
			}
		}
	}
}

// parse reads a scenario of a test.
func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	sc, err := scenario.Parse("test.yaml", []byte("name: test\ntitle: A test\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// TestFailures has scenarios that fail, each in its way; what they say is kept in files.
func TestFailures(t *testing.T) {
	for name, text := range map[string]string{
		"status": `steps:
  - {do: socket, category: connection, as: s}
  - {do: bind, socket: s}
  - {do: connect, socket: s, remote: closed}
  - {do: send, socket: s, data: never}`,
		"data": `peer: {service: echo}
steps:
  - {do: socket-connect, as: s, remote: peer}
  - {do: send, socket: s, data: hello}
  - {do: receive, socket: s, size: 10, expect: {data: world}}`,
		"pended": `steps:
  - {do: socket, category: connection, as: s, expect: {pended: false}}`,
		"report": `steps:
  - {do: socket, category: connection, as: s}
  - {do: send, socket: s, data: x, expect: {status: STATUS_INVALID_DEVICE_STATE}}`,
		"no-report": `reports: [I4]
steps:
  - {do: socket, category: connection, as: s}
  - {do: close, socket: s}`,
		"no-slot": `steps:
  - {do: socket, category: listen, as: s}
  - {do: send, socket: s, data: x}`,
		"no-event": `steps:
  - {do: socket, category: connection, as: s, on: {receive: [take]}}
  - {do: bind, socket: s}
  - {do: connect, socket: s, remote: peer}
  - {do: enable, socket: s, events: [receive]}
  - {do: expect-event, socket: s, event: receive, limit: 1s}`,
		"limit": `limit: 3s
steps:
  - {do: pause, time: 5s}
  - {do: pause, time: 1s}`,
		"peer": `steps:
  - {do: peer-accept, limit: 1s}`,
		"in-syn": `peer: {service: echo}
steps:
  - {do: socket, category: connection, as: s}
  - {do: bind, socket: s}
  - {do: connect-ex, socket: s, remote: peer, data: x, expect: {in-syn: 1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			sc := parse(t, text)
			r := sim(t, sc, sc.Knobs, 4)
			if r.OK || len(r.Failures) == 0 {
				t.Fatal("it has not failed")
			}
			golden(t, "failures/"+name+".txt", report(r))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is\n%s\nand came out as\n%s", path, want, got)
	}
}

// TestPolicies: stop ends a scenario at the first report, count keeps no more than
// numbers, off looks at nothing.
func TestPolicies(t *testing.T) {
	sc := parse(t, `steps:
  - {do: socket, category: connection, as: s}
  - {do: send, socket: s, data: x, expect: {status: STATUS_INVALID_DEVICE_STATE}}
  - {do: close, socket: s, note: later}`)
	for policy, want := range map[scenario.Policy]struct {
		ok, reports, later bool
	}{
		scenario.PolicyReport: {false, true, false}, scenario.PolicyStop: {false, true, false},
		scenario.PolicyCount: {false, false, true}, scenario.PolicyOff: {true, false, true},
	} {
		knobs := sc.Knobs
		knobs.Verifier = policy
		r := sim(t, sc, knobs, 4)
		later := strings.Contains(report(r), " later")
		if policy == scenario.PolicyReport {
			later = false // it goes on to the end
		}
		if r.OK != want.ok || (len(r.Reports) > 0) != want.reports || later != want.later {
			t.Errorf("%s: %v, %d reports, went on %v\n%s", policy, r.OK, len(r.Reports), later, report(r))
		}
	}
}

// TestReportsForMachines: JUnit and JSON can be read, and say the same as the results.
func TestReportsForMachines(t *testing.T) {
	good := parse(t, "steps:\n  - {do: pause, time: 1s, note: \"<&]]> \\x01\"}")
	bad := parse(t, "steps:\n  - {do: pause, time: 1s}\n  - {do: peer-accept, limit: 1s}")
	results := []scenario.Result{sim(t, good, good.Knobs, 4), sim(t, bad, bad.Knobs, 4), {Scenario: "skipped", Peer: PeerHost, OK: true, Skipped: "because"}}
	var b bytes.Buffer
	if err := scenario.WriteJUnit(&b, results); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Name    string    `xml:"name,attr"`
			Class   string    `xml:"classname,attr"`
			Time    float64   `xml:"time,attr"`
			Output  string    `xml:"system-out"`
			Skipped *struct{} `xml:"skipped"`
			Failure *struct {
				Message string `xml:"message,attr"`
				Text    string `xml:",chardata"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil {
		t.Fatalf("%v\n%s", err, b.Bytes())
	}
	if suite.Tests != 3 || suite.Failures != 1 || suite.Skipped != 1 || len(suite.Cases) != 3 {
		t.Fatalf("%+v", suite)
	}
	if c := suite.Cases[0]; c.Name != "test" || c.Class != "wsk.sim" || c.Time != 1 || !strings.Contains(c.Output, "<&]]> \uFFFD") || c.Failure != nil {
		t.Errorf("%+v", c)
	}
	if c := suite.Cases[1]; c.Failure == nil || !strings.Contains(c.Failure.Message, "test.yaml:5: peer-accept") || !strings.Contains(c.Failure.Text, c.Failure.Message) {
		t.Errorf("%+v", c)
	}
	if c := suite.Cases[2]; c.Skipped == nil {
		t.Errorf("%+v", c)
	}
	text, err := json.Marshal(results[1])
	if err != nil {
		t.Fatal(err)
	}
	var back scenario.Result
	if err := json.Unmarshal(text, &back); err != nil || back.OK || len(back.Failures) != 1 || back.Scenario != "test" || len(back.Events) == 0 {
		t.Errorf("%v: %s", err, text)
	}
}
