package verifier_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// breaks breaks three rules: S6, I2 and S3, in this order.
func breaks(b *bed) {
	s := b.socket(nil)
	i := irp.New(func(*irp.IRP, any) {}, nil)
	s.Send(wsk.NewBuf([]byte("x")), 0, i)
	s.Send(wsk.NewBuf([]byte("x")), 0, i)
	b.close(s)
	b.start(s.CloseSocket)
}

func TestPolicies(t *testing.T) {
	var told, stopped []string
	var v *verifier.Verifier
	cfg := verifier.Config{
		Policy: func(r verifier.Rule) verifier.Policy {
			switch r.ID {
			case "S6":
				return verifier.PolicyCount
			case "I2":
				return verifier.PolicyStop
			}
			return verifier.PolicyReport
		},
		OnReport: func(r *verifier.Report) { told = append(told, r.ID) },
		Stop:     func(r *verifier.Report) { stopped = append(stopped, r.ID); _ = v.Counts() }, // no lock is held
	}
	v = inBed(t, cfg, func(b *bed) { v = b.v; breaks(b) })
	if got := strings.Join(told, " ") + "/" + strings.Join(stopped, " "); got != "I2/I2" {
		t.Errorf("told and stopped: %s", got)
	}
	if c := v.Counts(); c["S6"] != 1 || c["I2"] != 1 || c["S3"] != 0 || len(v.Reports()) != 1 {
		t.Errorf("counted %v, kept %d reports", c, len(v.Reports()))
	}

	told = nil
	cfg.Policy = func(r verifier.Rule) verifier.Policy {
		if r.ID == "I2" {
			return verifier.PolicyOff
		}
		return verifier.PolicyReport
	}
	v = inBed(t, cfg, breaks)
	if got := strings.Join(told, " "); got != "S6 S3" {
		t.Errorf("with I2 off: told %s", got)
	}
	v = inBed(t, verifier.Config{Policy: verifier.ProviderOnly}, breaks)
	if c := v.Counts(); len(c) > 0 {
		t.Errorf("only the provider is checked: %v", c)
	}
}

func TestBadConfig(t *testing.T) {
	stop := func(verifier.Rule) verifier.Policy { return verifier.PolicyStop }
	for name, cfg := range map[string]verifier.Config{
		"no Stop":                      {Policy: stop},
		"policy that does not exist":   {Policy: func(verifier.Rule) verifier.Policy { return 99 }},
		"negative FailNth":             {Faults: verifier.Faults{FailNth: -1}},
		"completion that is not there": {Faults: verifier.Faults{Completion: 99}},
	} {
		if v, err := verifier.New(cfg); err == nil || v != nil || !strings.HasPrefix(err.Error(), "verifier: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	v, err := verifier.New(verifier.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if v.Attach(nil) == nil {
		t.Error("attached to nothing")
	}
	p := wsk.NewProvider()
	if err := p.Start(networkOfNothing{}); err != nil {
		t.Fatal(err)
	}
	if v.Attach(p) == nil {
		t.Error("attached to a provider that was started")
	}
	p.Stop()
}

type networkOfNothing struct{}

func (networkOfNothing) NewTransport(bool) (wsk.Transport, error) { return nil, nil }

// TestReport reads a report in both forms: the object's history tells who did what.
func TestReport(t *testing.T) {
	v := inBed(t, verifier.Config{}, func(b *bed) {
		s := b.bound(nil)
		i := b.v.NewIRP(func(*irp.IRP, any) {}, nil)
		s.GetLocalAddress(new(wsk.SockAddr), i)
		synctest.Wait()
		i.Cancel()
		i.Free()
		time.Sleep(time.Second)
		i.Free()
		b.close(s)
	})
	reports := v.Reports()
	if len(reports) != 1 {
		t.Fatalf("%d reports", len(reports))
	}
	text := reports[0].String()
	lines := strings.Split(text, "\n")
	const want = "I4: IRP freed while pending, freed twice, used after it was freed, or freed without having come from IoAllocateIrp: " +
		"IRP #3: freed while Freed (as Driver Verifier 0xC9/0x01, 0x02; SDV IoAllocateFree)"
	if lines[0] != want {
		t.Errorf("the line is\n%s", lines[0])
	}
	var at int
	for _, what := range []string{"history:", "allocated by goroutine", "submitted (GetLocalAddress) by", "completed by", "cancelled by", "freed by", "freed (refused) by"} {
		k := strings.Index(text[at:], what)
		if k < 0 {
			t.Fatalf("%q is not in its place in\n%s", what, text)
		}
		at += k
	}
	if !strings.Contains(text, "verifier_test.TestReport.func1") {
		t.Errorf("the client's own frame is not in\n%s", text)
	}
	raw, err := json.Marshal(reports)
	if err != nil {
		t.Fatal(err)
	}
	var back []verifier.Report
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	h := back[0].History
	if back[0].ID != "I4" || len(h) != 6 || h[0].What != "allocated" || len(h[0].Stack) == 0 || h[2].Goroutine == h[1].Goroutine ||
		h[5].Time.Sub(h[4].Time) != time.Second {
		t.Errorf("read back: %+v", back[0])
	}
}

// TestNilVerifier is the client's code with the verifier taken away.
func TestNilVerifier(t *testing.T) {
	var v *verifier.Verifier
	i := v.NewIRP(nil, nil)
	if !i.Allocated() || i.Free() != ntstatus.Success {
		t.Error("it is no IRP from New")
	}
}

// TestRun looks at each tick, until its context ends.
func TestRun(t *testing.T) {
	v := inBed(t, verifier.Config{}, func(b *bed) {
		s, _ := b.connected(nil)
		b.start(func(i *irp.IRP) ntstatus.Status { return s.Receive(wsk.NewBuf(make([]byte, 1)), 0, i) })
		ticks, over := make(chan time.Time), make(chan struct{})
		ctx := b.t.Context()
		go func() { defer close(over); b.v.Run(ctx, ticks) }()
		time.Sleep(verifier.DefaultPending)
		ticks <- time.Now()
		ticks <- time.Now() // the first look is over
		if b.v.Counts()["I13"] != 1 {
			b.t.Error("nobody looked")
		}
		b.close(s)
		b.t.Cleanup(func() { <-over })
	})
	if c := v.Counts(); c["I13"] != 1 || len(c) != 1 {
		t.Errorf("counted %v", c)
	}
}
