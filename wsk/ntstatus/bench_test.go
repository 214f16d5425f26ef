package ntstatus_test

import (
	"errors"
	"testing"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// BenchmarkError makes an error of a status and compares it, as callers do.
func BenchmarkError(b *testing.B) {
	want := ntstatus.Cancelled.Err()
	b.ReportAllocs()
	for b.Loop() {
		if !errors.Is(ntstatus.Cancelled.Err(), want) {
			b.Fatal("not the same")
		}
	}
}
