package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// proof is an item with the tests that prove it.
type proof struct {
	item
	Tests []ref `json:"tests"`
}

// report is what the command prints.
type report struct {
	OK       bool     `json:"ok"`
	Required int      `json:"required"` // delivered items
	Proven   int      `json:"proven"`   // of those, how many have a test
	Missing  []string `json:"missing"`  // the others
	Problems []string `json:"problems"` // faults of the tests themselves
	Items    []proof  `json:"items"`    // in the order of the pages
}

// join gives each item its tests and lists what is owed.
func join(items []item, refs []ref, problems []string) report {
	rep := report{Missing: []string{}, Problems: append([]string{}, problems...)}
	byID := map[string][]ref{}
	for _, r := range refs {
		byID[r.ID] = append(byID[r.ID], r)
	}
	for _, it := range items {
		tests := byID[it.ID]
		delete(byID, it.ID)
		rep.Items = append(rep.Items, proof{item: it, Tests: append([]ref{}, tests...)})
		if !it.required() {
			continue
		}
		rep.Required++
		if len(tests) > 0 {
			rep.Proven++
		} else {
			rep.Missing = append(rep.Missing, it.ID)
		}
	}
	for _, r := range refs {
		if _, unknown := byID[r.ID]; unknown {
			rep.Problems = append(rep.Problems, fmt.Sprintf("%s: %q is in none of %s", r.Place, r.ID, strings.Join(pages(), ", ")))
		}
	}
	rep.OK = len(rep.Missing) == 0 && len(rep.Problems) == 0
	return rep
}

func (r report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

func (r report) writeTable(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, p := range r.Items {
		if len(p.Tests) == 0 {
			fmt.Fprintf(tw, "%s\t%s\t%s\n", p.ID, p.Status, p.withoutTest())
			continue
		}
		for i, t := range p.Tests {
			id, status := p.ID, p.Status
			if i > 0 {
				id, status = "", ""
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\n", id, status, t.name())
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return r.writeSummary(w)
}

// withoutTest is what stands in place of a test's name.
func (p proof) withoutTest() string {
	if p.required() {
		return "MISSING: " + p.Text
	}
	return "-"
}

func (r report) writeMissing(w io.Writer) error {
	for _, p := range r.Items {
		if p.required() && len(p.Tests) == 0 {
			fmt.Fprintf(w, "%s  %s (%s)\n", p.ID, p.Text, p.Page)
		}
	}
	return r.writeSummary(w)
}

func (r report) writeSummary(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d of %d delivered items have a test; %d missing; %d items are partly done or later; %d faults\n",
		r.Proven, r.Required, len(r.Missing), len(r.Items)-r.Required, len(r.Problems))
	return err
}
