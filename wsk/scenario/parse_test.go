package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// TestBadFiles has a file for each thing that can be wrong with one; the error says
// where it is, what it is, and shows the lines.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(name, text)
			var wrong *Error
			if !errors.As(err, &wrong) {
				t.Fatalf("%v", err)
			}
			if wrong.Line < 1 || wrong.Column < 1 || !strings.HasPrefix(wrong.Error(), name+":") || strings.Contains(wrong.Summary(), "\n") {
				t.Errorf("%+v", wrong)
			}
			golden(t, "bad/"+strings.TrimSuffix(name, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

// TestTooMuch has what no table of files should hold.
func TestTooMuch(t *testing.T) {
	head := "name: big\ntitle: big\nsteps:\n"
	for name, text := range map[string]string{
		"bytes": head + strings.Repeat("# nothing\n", maxFile/10),
		"steps": head + strings.Repeat("  - {do: pause, time: 1s}\n", maxSteps+1),
		"depth": "name: " + strings.Repeat("[", 40) + strings.Repeat("]", 40),
	} {
		if _, err := Parse("big.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "the most") && name != "depth" {
			t.Errorf("%s: %.80v", name, err)
		}
	}
}

// TestParse reads every kind of value.
func TestParse(t *testing.T) {
	s, err := Parse("all.yaml", []byte(`
name: all
title: Every kind of value
text: |
  Two lines
  of text.
peer: {service: echo, fast-open: false, delay: 5ms, loss: 0.25}
knobs: {completion: random, seed: 18446744073709551615, verifier: stop, fail-nth: 3, fail-sites: true, cancel-race: true, delay: true, short-io: true, fast-open-faults: true}
names: {a.test: [peer, 192.0.2.1]}
reports: [I1]
limit: 1h
steps:
  - {do: socket, category: connection, as: s, on: {receive: [take 3, retain, refuse]}}
  - {do: receive, socket: s, size: 0x10, flags: waitall|drain, irp: r, async: true, limit: 1m30s}
  - {do: send, socket: s, hex: "00 ff", flags: 2}
  - {do: await, irp: r, expect: {status: cancelled, data: "", information: 1_000}}
  - {do: set-option, socket: s, option: "6:0x0f", value: 1}
`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Text != "Two lines\nof text." || s.Service != "echo" || s.FastOpen || s.Delay != 5*time.Millisecond || s.Loss != 0.25 || s.Limit != time.Hour {
		t.Errorf("%+v", s)
	}
	want := Knobs{wsk.CompleteRandom, 1<<64 - 1, PolicyStop, Faults{3, true, true, true, true, true}}
	if s.Knobs != want {
		t.Errorf("knobs %+v", s.Knobs)
	}
	if a := s.steps[0].keys["on"].answers["receive"]; len(a) != 3 || a[0] != (answer{"take", 3}) || a[2] != (answer{"refuse", -1}) {
		t.Errorf("answers %v", a)
	}
	if k := s.steps[1].keys; k["size"].count != 16 || k["flags"].count != 6 || k["limit"].time != 90*time.Second || !k["async"].yes {
		t.Errorf("keys %+v", k)
	}
	if b := s.steps[2].bytes(); string(b) != "\x00\xff" || s.steps[2].keys["flags"].count != 2 {
		t.Errorf("bytes % x", b)
	}
	if e := s.steps[3].expect; e["status"].status != ntstatus.Cancelled || e["information"].count != 1000 {
		t.Errorf("expect %+v", e)
	}
	if level, code, ok := parseOption(s.steps[4].name("option")); !ok || level != wsk.IPPROTO_TCP || code != wsk.TCP_FASTOPEN {
		t.Errorf("option %d:%d", level, code)
	}
	if s.PlaysPeer() || s.Steps() != 5 {
		t.Errorf("plays %v, %d steps", s.PlaysPeer(), s.Steps())
	}
}

// TestEveryVerb looks at the tables: what they name is there, and what runs is named.
func TestEveryVerb(t *testing.T) {
	known := map[string]bool{}
	for _, k := range stepTable {
		known[k.name] = true
	}
	expects := map[string]bool{}
	for _, k := range expectTable {
		expects[k.name] = true
	}
	own := ownVerbs()
	for _, v := range verbTable {
		for _, k := range strings.Fields(v.required + " " + v.optional) {
			if !known[k] {
				t.Errorf("%s has the key %q, which stepTable has not", v.name, k)
			}
		}
		for _, k := range strings.Fields(v.expects) {
			if !expects[k] {
				t.Errorf("%s expects %q, which expectTable has not", v.name, k)
			}
		}
		_, isOwn := own[v.name]
		if isOwn == (v.irp || v.peer) {
			t.Errorf("%s: own %v, irp %v, peer %v", v.name, isOwn, v.irp, v.peer)
		}
		delete(own, v.name)
	}
	for name := range own {
		t.Errorf("%s is in no table", name)
	}
	for _, k := range knobTable {
		if name := strings.TrimSuffix(k.name, "-faults"); faultTable[name] == nil && k.shape == shapeBool {
			t.Errorf("the knob %s has no name on the command line", k.name)
		}
	}
}

func TestParseNames(t *testing.T) {
	if _, err := ParseCompletion("never"); err == nil {
		t.Error("a completion mode that is none")
	}
	if _, err := ParsePolicy("shout"); err == nil {
		t.Error("a policy that is none")
	}
	if _, err := ParseFaults([]string{"delay", "flood"}); err == nil || !strings.Contains(err.Error(), "flood") {
		t.Errorf("a fault that is none: %v", err)
	}
	for _, name := range FaultNames() {
		if f, err := ParseFaults([]string{name}); err != nil || f == (Faults{}) {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	for _, p := range []Policy{PolicyReport, PolicyStop, PolicyCount, PolicyOff} {
		if got, err := ParsePolicy(string(p)); got != p || err != nil {
			t.Errorf("%s: %v, %v", p, got, err)
		}
	}
}

// FuzzParse: no file makes the parser panic, and what is wrong is always an *Error
// with a place in the file.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "builtin/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("fuzz.yaml", text)
		if err == nil {
			if s.Name == "" || s.Title == "" || s.Steps() == 0 {
				t.Errorf("%+v", s)
			}
			return
		}
		var wrong *Error
		if !errors.As(err, &wrong) || wrong.Line < 1 || wrong.Column < 1 || wrong.Message == "" {
			t.Errorf("%#v", err)
		}
	})
}
