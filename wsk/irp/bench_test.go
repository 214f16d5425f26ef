package irp_test

import (
	"testing"

	"github.com/wskstack/wskstack/wsk/irp"
	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// BenchmarkLife takes an IRP through its life: reused, submitted, completed.
func BenchmarkLife(b *testing.B) {
	called := 0
	routine := func(*irp.IRP, any) { called++ }
	i := irp.New(nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		i.Reuse(ntstatus.Success)
		i.SetCompletionRoutine(routine, nil)
		r, _ := irp.Submit(i, nil)
		r.MarkPending()
		r.Complete(irp.StatusBlock{})
	}
	if called != b.N {
		b.Errorf("%d routines for %d lives", called, b.N)
	}
}
