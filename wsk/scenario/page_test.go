package scenario

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/wsk/verifier"
)

// unbreakable are the rules of the verifier that no scenario can break. It is never
// written to.
var unbreakable = []string{"I3", "I11", "I14", "S2", "S9", "B5", "B7", "Q3", "Q4", "R3"}

// TestUnbreakable has no scenario that is built in break a rule that none can.
func TestUnbreakable(t *testing.T) {
	for _, id := range unbreakable {
		if r, ok := verifier.Explain(id); !ok || !r.Checked() {
			t.Errorf("%s is no rule that is checked", id)
		}
	}
	all, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range all {
		for _, id := range sc.Reports {
			if slices.Contains(unbreakable, id) {
				t.Errorf("%s breaks %s", sc.Name, id)
			}
		}
	}
}

// TestPage keeps SCENARIOS.md the same as the parser's tables.
func TestPage(t *testing.T) {
	const name = "../../SCENARIOS.md"
	want := page(t)
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the tables say; run: go test ./wsk/scenario -run TestPage -scenario.update", name)
	}
}

func page(t *testing.T) string {
	example, err := builtinTable.ReadFile("builtin/first-bytes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString(`<!-- Generated from wsk/scenario/table.go and page_test.go; do not edit. go test ./wsk/scenario -run TestPage -scenario.update -->

# Scenarios

A scenario is a list of WSK calls and of what has to come out of them. ` + "`wskstackd wsk run`" + ` runs it; ` + "`wskstackd wsk list`" + ` lists
those that are built in, which are in ` + "`wsk/scenario/builtin`" + ` and make good templates.

` + "```yaml\n" + string(example) + "```" + `

A file is one YAML document of at most 256 KiB, without anchors, aliases, tags and merge keys. An unknown key is an error, with its line.
A value with a comma, a colon or a bracket needs quotes where it stands between braces.

## A run

The client is registered before the first step and deregistered after the last. Steps are taken one after the other; one that hands an
IRP in waits for it, unless it says ` + "`async`" + `. A request that is not over within its ` + "`limit`" + ` is cancelled, and waited for; it
then has STATUS_TIMEOUT. The first step that does not come out as expected ends the scenario. What is left open is then closed, retained
data given back, IRPs freed. Whatever the steps say, it is a failure if an IRP does not complete exactly once and as its call said it would, if
the registration cannot end, or if the verifier reports a rule that ` + "`reports`" + ` does not name, or does not report one that it names.

One goroutine takes the steps, callbacks only answer what ` + "`on`" + ` names, and results are read when a request is over. So a scenario cannot
break the rules ` + strings.Join(unbreakable, ", ") + `: these need calls at the same time, or a callback, a completion or a
list in the client's own hands. Clients that break them are in the verifier's tests.

With faults (the knobs from ` + "`fail-nth`" + ` on) what is expected need not come out: the scenario ends there, which is no failure; all
else has to hold.

On a simulated peer time is virtual, and the same scenario, seed and knobs give the same time line. With ` + "`delay`" + ` and
` + "`cancel-race`" + ` the order of what happens at one instant is the scheduler's.

## Keys of a scenario

` + "`name`, `title` and `steps`" + ` are needed.

`)
	keyRows(&b, topTable[:])
	b.WriteString("\n## peer\n\n")
	keyRows(&b, peerTable[:])
	b.WriteString("\n## knobs\n\n")
	keyRows(&b, knobTable[:])
	b.WriteString(`
## Verbs

Every step has the key ` + "`do`" + ` and may have ` + "`note`" + `. A verb that hands an IRP in (column IRP) may also have ` + backed(irpKeys) + ` and ` + "`expect`" + `, with
` + backed(irpExpects) + `. Verbs that play the peer's part need a peer that can be told what to do: a simulated one, or the kernel.

| Verb | Function | IRP | Needs | May have | Of expect | What it does |
|---|---|---|---|---|---|---|
`)
	for _, v := range verbTable {
		irp := ""
		if v.irp {
			irp = "yes"
		}
		function := v.function
		if v.peer {
			function = "the peer's part"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", v.name, function, irp, backed(v.required), backed(v.optional), backed(v.expects), v.text)
	}
	b.WriteString("\nFlags by name: ")
	var flags []string
	for _, v := range verbTable {
		if v.flags != nil {
			flags = append(flags, fmt.Sprintf("`%s` %s", v.name, backed(strings.Join(slices.Sorted(maps.Keys(v.flags)), " "))))
		}
	}
	b.WriteString(strings.Join(flags, "; ") + ". Any number may be given in their place, also where a verb has none.\n")
	b.WriteString("\n## Keys of steps\n\n")
	keyRows(&b, stepTable[:])
	b.WriteString("\n## Keys of expect\n\n")
	keyRows(&b, expectTable[:])
	b.WriteString("\n## Answers of callbacks\n\n`on: {receive: [take 3, refuse, take]}`: the first call accepts 3 bytes, the second nothing, every later one all.\n\n| Answer | What the callback returns |\n|---|---|\n")
	for _, a := range slices.Sorted(maps.Keys(answerTable)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", a, answerTable[a])
	}
	fmt.Fprintf(&b, "\nEvents: %s. A callback that `on` does not name does not exist, and cannot be enabled.\n", backed(events()))
	fmt.Fprintf(&b, "\nOptions by name: %s. Ioctls by name: %s.\n", backed(optionNames()), backed(ioctlNames()))
	return b.String()
}

func keyRows(b *strings.Builder, table []key) {
	b.WriteString("| Key | Value | What it says |\n|---|---|---|\n")
	for _, k := range table {
		value := shapeTable[k.shape]
		if k.one != nil {
			value = backed(strings.Join(k.one, " "))
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", k.name, value, k.text)
	}
}

// backed puts words into backquotes.
func backed(words string) string {
	list := strings.Fields(strings.ReplaceAll(words, ",", " "))
	for i, w := range list {
		list[i] = "`" + w + "`"
	}
	return strings.Join(list, ", ")
}
