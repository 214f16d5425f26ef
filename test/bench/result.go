package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Format is the version of Report's JSON form.
const Format = 1

// Report is what a run gave. Its JSON form is stable: fields are added, not changed.
type Report struct {
	Format  int     `json:"format"`
	Kind    string  `json:"kind"` // the command: "throughput", "connect", ...
	Machine Machine `json:"machine"`
	Rounds  int     `json:"rounds"`
	// Seconds is how long one measurement took; 0: as long as what it did.
	Seconds float64 `json:"seconds,omitempty"`
	// Foreign is the share of the machine's processor time that others had
	// meanwhile.
	Foreign float64 `json:"foreign"`
	Rows    []Row   `json:"rows"`
}

// Row is one metric of one measurement, for all subjects.
type Row struct {
	// Name says what was measured: "up, 1 flow, MTU 1500".
	Name   string `json:"name"`
	Metric string `json:"metric"`
	Unit   string `json:"unit"`
	// LowerIsBetter is about the metric.
	LowerIsBetter bool `json:"lower_is_better"`
	// MachineWide says that others on the machine change it, too.
	MachineWide bool     `json:"machine_wide,omitempty"`
	Columns     []Column `json:"columns"`
}

// Column is a subject's samples, one for each round, in the order of the rounds. The
// first column is what the others are compared with.
type Column struct {
	Subject string    `json:"subject"`
	Samples []float64 `json:"samples"`
}

// IsKernel says that the column is not this program's, but what it is measured against.
func (c Column) IsKernel() bool { return strings.HasPrefix(c.Subject, kernelName) }

// Summary is the middle and the ends of some samples.
type Summary struct{ Median, Min, Max float64 }

// Summarise takes at least one sample.
func Summarise(samples []float64) Summary {
	s := slices.Sorted(slices.Values(samples))
	m := s[len(s)/2]
	if len(s)%2 == 0 {
		m = (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	return Summary{Median: m, Min: s[0], Max: s[len(s)-1]}
}

// Summary of the column's samples.
func (c Column) Summary() Summary { return Summarise(c.Samples) }

// Ratios are a column's samples as multiples of another's in the same rounds.
func (c Column) Ratios(base Column) []float64 {
	out := make([]float64, 0, len(c.Samples))
	for i, v := range c.Samples {
		if i < len(base.Samples) && base.Samples[i] != 0 {
			out = append(out, v/base.Samples[i])
		}
	}
	return out
}

// Column returns a subject's column.
func (r Row) Column(subject string) (Column, bool) {
	for _, c := range r.Columns {
		if c.Subject == subject {
			return c, true
		}
	}
	return Column{}, false
}

// Find returns a row.
func (r Report) Find(name, metric string) (Row, bool) {
	for _, row := range r.Rows {
		if row.Name == name && row.Metric == metric {
			return row, true
		}
	}
	return Row{}, false
}

// Ratio is the median of a subject's ratios to another in a row; ok is false where
// one of them was not measured.
func (r Report) Ratio(name, metric, subject, base string) (s Summary, ok bool) {
	row, _ := r.Find(name, metric)
	c, there := row.Column(subject)
	b, also := row.Column(base)
	if !there || !also {
		return Summary{}, false
	}
	ratios := c.Ratios(b)
	if len(ratios) == 0 {
		return Summary{}, false
	}
	return Summarise(ratios), true
}

// ErrReport is in the chain of an error about a file that is no Report.
var ErrReport = errors.New("not a report of this command")

// ReadReport reads the JSON form, at most 16 MiB of it.
func ReadReport(r io.Reader) (Report, error) {
	var rep Report
	if err := readJSON(r, &rep); err != nil {
		return Report{}, err
	}
	for _, row := range rep.Rows {
		if len(row.Columns) == 0 || slices.ContainsFunc(row.Columns, func(c Column) bool { return len(c.Samples) == 0 }) {
			return Report{}, fmt.Errorf("%w: the row %q has no column, or one without samples", ErrReport, row.Name)
		}
	}
	return rep, nil
}

// readJSON reads one JSON object of this program's format, and nothing else.
func readJSON(r io.Reader, into any) error {
	data, err := io.ReadAll(io.LimitReader(r, 16<<20))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	var version struct{ Format int }
	if err := json.Unmarshal(data, &version); err != nil {
		return fmt.Errorf("%w, or not a whole one: %w", ErrReport, err)
	}
	// Before the fields are looked at: those of another version may be others.
	if version.Format != Format {
		return fmt.Errorf("%w: it has the format %d, this program knows %d", ErrReport, version.Format, Format)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	return nil
}
