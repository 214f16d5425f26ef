package verifier_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/wsk/verifier"
)

var update = flag.Bool("verifier.update", false, "write VERIFIER.md anew")

// TestPage keeps VERIFIER.md the same as the table.
func TestPage(t *testing.T) {
	const name = "../VERIFIER.md"
	want := page()
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
		t.Errorf("%s is not what the table says; run: go test ./wsk/verifier -run TestPage -verifier.update", name)
	}
}

func page() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from wsk/verifier/rules.go; do not edit. go test ./wsk/verifier -run TestPage -verifier.update -->

# The verifier's rules

What package ` + "`wsk/verifier`" + ` looks for. IDs are stable. The anchor says what finds the misuse on Windows, or which page forbids it. Rules with
a dash in the column Go mean nothing here; the reason stands in place of the detection.

## Rules of the client

| ID | Misuse | Detection, or why there is none | On Windows | Go |
|---|---|---|---|---|
`)
	for _, r := range verifier.Rules() {
		if !r.Provider {
			row(&b, r)
		}
	}
	b.WriteString(`
## Rules of the provider

What the provider itself keeps. Every test of a provider checks that, whatever it is about (` + "`wsktest.NewProvider`" + `).

| ID | Breach | Detection | Anchor | Go |
|---|---|---|---|---|
`)
	for _, r := range verifier.Rules() {
		if r.Provider {
			row(&b, r)
		}
	}
	b.WriteString("\n## Explanations\n")
	for _, r := range verifier.Rules() {
		if r.Checked() {
			fmt.Fprintf(&b, "\n**%s: %s.** %s\n", r.ID, r.Misuse, r.Explanation)
		}
	}
	return b.String()
}

func row(b *strings.Builder, r verifier.Rule) {
	how, in := r.Detection, "yes"
	if !r.Checked() {
		how, in = r.NotInGo, "–"
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", r.ID, r.Misuse, how, r.Anchor, in)
}
