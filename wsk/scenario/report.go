package scenario

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// WriteText writes a result for people: the time line, if asked for or if it failed,
// and the verdict.
func (r Result) WriteText(w io.Writer, timeline bool) error {
	var b strings.Builder
	if timeline || !r.OK {
		r.writeTimeline(&b)
	}
	switch {
	case r.Skipped != "":
		fmt.Fprintf(&b, "skip  %s: %s\n", r.Scenario, r.Skipped)
	case r.OK:
		fmt.Fprintf(&b, "ok    %s: %s (%s)\n", r.Scenario, r.Title, r.pace())
		if timeline && r.EndedEarly != "" {
			fmt.Fprintf(&b, "      faults ended it early, which is allowed: %s\n", r.EndedEarly)
		}
	default:
		fmt.Fprintf(&b, "FAIL  %s: %s (%s)\n", r.Scenario, r.Title, r.pace())
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "      %s\n", strings.ReplaceAll(f, "\n", "\n      "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// pace is how long it took, and in what time.
func (r Result) pace() string {
	kind := "real"
	if r.Virtual {
		kind = "virtual"
	}
	text := fmt.Sprintf("peer %s, %v of %s time, seed %d", r.Peer, r.Took.Round(time.Microsecond), kind, r.Seed)
	if r.Sweep > 0 {
		text += fmt.Sprintf(", each of %d requests made to fail once", r.Sweep)
	}
	var ids []string
	for _, report := range r.Reports {
		if r.OK && !slices.Contains(ids, report.ID) {
			ids = append(ids, report.ID)
		}
	}
	if len(ids) > 0 {
		text += ", reported as expected: " + strings.Join(ids, " ")
	}
	return text
}

// writeTimeline writes one line for each event.
func (r Result) writeTimeline(b *strings.Builder) {
	fmt.Fprintf(b, "%14s  step  IRP  what\n", "time")
	for _, e := range r.Events {
		irp := ""
		if e.IRP > 0 {
			irp = fmt.Sprintf("#%d", e.IRP)
		}
		fmt.Fprintf(b, "%14s  %4d %4s  %-9s  %s\n", fmt.Sprintf("%.6f s", e.At.Seconds()), e.Step, irp, e.What, e.Text)
	}
}

// The elements of a JUnit report, as far as its readers agree on them.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
		Skipped *junitSkipped `xml:"skipped,omitempty"`
		Output  *junitText    `xml:"system-out,omitempty"`
	}
	junitText struct {
		Text string `xml:",cdata"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",cdata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes results as a JUnit report: one test suite, a test case for each
// run, with its time line as output. Times are those of the runs, virtual or real.
func WriteJUnit(w io.Writer, results []Result) error {
	suite := junitSuite{Name: "wskstackd wsk", Tests: len(results)}
	var total time.Duration
	for _, r := range results {
		var lines strings.Builder
		r.writeTimeline(&lines)
		c := junitCase{Class: "wsk." + r.Peer, Name: r.Scenario, Time: seconds(r.Took), Output: &junitText{printable(lines.String())}}
		switch {
		case r.Skipped != "":
			suite.Skipped++
			c.Skipped, c.Output = &junitSkipped{printable(r.Skipped)}, nil
		case !r.OK:
			suite.Failures++
			c.Failure = &junitFailure{Message: printable(firstLine(r.Failures[0])), Text: printable(strings.Join(r.Failures, "\n"))}
		}
		total += r.Took
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = seconds(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.6f", d.Seconds()) }

// printable replaces what XML cannot hold.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0xFFFE || c == 0xFFFF {
			return '\uFFFD'
		}
		return c
	}, text)
}
