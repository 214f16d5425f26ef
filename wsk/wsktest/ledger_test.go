package wsktest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// TestLedger has good requests, and each fault that a ledger finds.
func TestLedger(t *testing.T) {
	const ok, pending = ntstatus.Success, ntstatus.Pending
	take := func(i *irp.IRP) irp.Request {
		r, st := irp.Submit(i, nil)
		if st != ok {
			t.Fatal(st)
		}
		return r
	}
	for name, tt := range map[string]struct {
		call  func(i *irp.IRP) ntstatus.Status
		fault string
	}{
		"inline": {func(i *irp.IRP) ntstatus.Status {
			take(i).Complete(irp.StatusBlock{Status: ok})
			return ok
		}, ""},
		"pended, and over at once": {func(i *irp.IRP) ntstatus.Status {
			r := take(i)
			r.MarkPending()
			r.Complete(irp.StatusBlock{Status: ntstatus.Cancelled})
			return pending
		}, ""},
		"not completed": {func(*irp.IRP) ntstatus.Status { return ok }, "has not completed"},
		"not marked": {func(i *irp.IRP) ntstatus.Status {
			take(i).Complete(irp.StatusBlock{Status: ok})
			return pending
		}, "PendingReturned is false"},
		"marked": {func(i *irp.IRP) ntstatus.Status {
			r := take(i)
			r.MarkPending()
			r.Complete(irp.StatusBlock{Status: ok})
			return ok
		}, "PendingReturned is true"},
		"another status": {func(i *irp.IRP) ntstatus.Status {
			take(i).Complete(irp.StatusBlock{Status: ok})
			return ntstatus.NotFound
		}, "completed with STATUS_SUCCESS"},
		"pending as a result": {func(i *irp.IRP) ntstatus.Status {
			r := take(i)
			r.MarkPending()
			r.Complete(irp.StatusBlock{Status: pending})
			return pending
		}, "completed with STATUS_PENDING"},
	} {
		t.Run(name, func(t *testing.T) {
			var l wsktest.Ledger
			e := l.New(nil)
			e.Submit(tt.call)
			found := strings.Join(l.Faults(), "; ")
			if tt.fault == "" && found != "" || !strings.Contains(found, tt.fault) {
				t.Errorf("found %q, want %q", found, tt.fault)
			}
		})
	}
}

// TestLedgerCounts uses an IRP twice, from inside its routine, and completes one that
// was cancelled.
func TestLedgerCounts(t *testing.T) {
	var l wsktest.Ledger
	var held irp.Request
	inline := func(i *irp.IRP) ntstatus.Status {
		r, _ := irp.Submit(i, nil)
		r.Complete(irp.StatusBlock{Status: ntstatus.Success})
		return ntstatus.Success
	}
	l.New(func(e *wsktest.Entry, _ irp.StatusBlock) { e.Again(nil).Submit(inline) }).Submit(inline)
	e := l.New(nil)
	e.Submit(func(i *irp.IRP) ntstatus.Status {
		held, _ = irp.Submit(i, func() {})
		held.MarkPending()
		return ntstatus.Pending
	})
	if l.Completed() != 2 || l.Open() != 1 || e.IRP().State() != irp.Pending {
		t.Errorf("%d completed, %d open", l.Completed(), l.Open())
	}
	e.Again(nil) // too early
	if !e.Cancel() {
		t.Error("Cancel told nobody")
	}
	held.Complete(irp.StatusBlock{Status: ntstatus.Cancelled})
	if got := l.Statuses(); l.Open() != 0 || got[ntstatus.Cancelled] != 1 || got[ntstatus.Success] != 2 {
		t.Errorf("%d open, %v", l.Open(), got)
	}
	if f := l.Faults(); !slices.ContainsFunc(f, func(s string) bool { return strings.Contains(s, "cannot be used again") }) || len(f) != 1 {
		t.Errorf("faults %q", f)
	}
}
