package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// The verifier's limits, shorter than its own: a scenario is not long.
const (
	pendingLimit    = 10 * time.Minute // longer than a step may wait
	deregisterLimit = time.Second
)

// policyTable has the verifier's policies.
var policyTable = map[Policy]verifier.Policy{
	PolicyReport: verifier.PolicyReport, PolicyStop: verifier.PolicyStop, PolicyCount: verifier.PolicyCount,
}

// verify attaches a verifier to the provider, and returns the network to start it on.
func (r *run) verify() (wsk.Network, error) {
	policy, on := policyTable[r.knobs.Verifier]
	if !on && !r.lenient {
		return r.world.Network, nil
	}
	if !on {
		policy = verifier.PolicyOff // the faults are the verifier's
	}
	f := r.knobs.Faults
	v, err := verifier.New(verifier.Config{
		Policy: func(verifier.Rule) verifier.Policy { return policy },
		OnReport: func(report *verifier.Report) {
			r.line.saw("", 0, "report", "%s: %s: %s", report.ID, report.Rule, report.Object)
		},
		Stop:   func(*verifier.Report) { r.halted.Store(true) },
		Now:    func() time.Time { return time.Unix(0, 0).UTC().Add(r.world.Now()) },
		Limits: verifier.Limits{Pending: pendingLimit, Deregister: deregisterLimit},
		Faults: verifier.Faults{
			Seed: r.knobs.Seed, FailNth: f.FailNth, FailSites: f.FailSites, CancelRace: f.CancelRace,
			Delay: f.Delay, ShortIO: f.ShortIO, FastOpen: f.FastOpen,
		},
	})
	if err != nil {
		return nil, err
	}
	r.check = v
	return v.Network(r.world.Network), v.Attach(r.provider)
}

// newIRP makes an IRP that the verifier knows.
func (r *run) newIRP(routine func(*irp.IRP, any)) *irp.IRP {
	if r.check != nil {
		return r.check.NewIRP(routine, nil)
	}
	return irp.New(routine, nil)
}

// look lets the verifier look at what takes long.
func (r *run) look() {
	if r.check != nil {
		r.check.Check()
	}
}

// judge compares what the verifier has found with what it has to find.
func (r *run) judge(result *Result) {
	result.Starved, result.EndedEarly = r.starved.Load(), r.early
	if r.check == nil || r.knobs.Verifier == PolicyOff {
		return
	}
	for _, report := range r.check.Reports() {
		result.Reports = append(result.Reports, reportOf(report))
	}
	found := r.check.Counts()
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if !slices.Contains(r.Reports, id) {
			r.failf("the verifier reports %s%s", id, details(id, result.Reports))
		}
	}
	// A run that did not get to its end need not have done all that is wrong.
	if len(r.failures) > 0 || r.early != "" || r.knobs.Verifier == PolicyStop && len(found) > 0 {
		return
	}
	for _, id := range r.Reports {
		if found[id] == 0 {
			rule, _ := verifier.Explain(id)
			r.failf("the verifier has not reported %s (%s), as it should", id, rule.Misuse)
		}
	}
}

// Report is a breach of one of the verifier's rules. It has no stacks: all calls are
// the scenario's, whose time line says where they are.
type Report struct {
	ID      string   `json:"id"`
	Rule    string   `json:"rule"`
	Object  string   `json:"object"`
	Detail  string   `json:"detail,omitempty"`
	Anchor  string   `json:"anchor"`
	Line    string   `json:"line"`    // all of that
	History []string `json:"history"` // of the object, oldest first
}

func reportOf(r *verifier.Report) Report {
	out := Report{ID: r.ID, Rule: r.Rule, Object: r.Object, Detail: r.Detail, Anchor: r.Anchor, Line: r.Line(), History: []string{}}
	for _, m := range r.History {
		out.History = append(out.History, fmt.Sprintf("%.6f s  %s", m.Time.Sub(time.Unix(0, 0)).Seconds(), m.What))
	}
	return out
}

// details are the reports of a rule, if they were kept.
func details(id string, reports []Report) string {
	var lines []string
	for _, report := range reports {
		if report.ID == id {
			lines = append(lines, report.Line)
			for _, h := range report.History {
				lines = append(lines, "    "+h)
			}
		}
	}
	if len(lines) == 0 {
		return fmt.Sprintf(" (only counted; 'wskstackd wsk explain %s' says what it means)", id)
	}
	return ":\n" + strings.Join(lines, "\n")
}
