package wsktest

import (
	"testing"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/verifier"
)

// NewProvider is wsk.NewProvider for tests: the provider's conduct, not that of its
// clients, is checked by the rules M1 to M6 of VERIFIER.md. A breach fails the test.
func NewProvider(t testing.TB) *wsk.Provider {
	t.Helper()
	return watched(t, verifier.Config{Policy: verifier.ProviderOnly})
}

// NewStrictProvider is NewProvider for tests whose clients are correct: their conduct is
// checked as well. When the test ends nothing of theirs may be left.
func NewStrictProvider(t testing.TB) *wsk.Provider {
	t.Helper()
	return watched(t, verifier.Config{})
}

func watched(t testing.TB, cfg verifier.Config) *wsk.Provider {
	t.Helper()
	p := wsk.NewProvider()
	cfg.OnReport = func(r *verifier.Report) { t.Error(r) }
	v, err := verifier.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Attach(p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Finish)
	return p
}
