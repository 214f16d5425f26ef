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
	p := wsk.NewProvider()
	v, err := verifier.New(verifier.Config{
		Policy:   verifier.ProviderOnly,
		OnReport: func(r *verifier.Report) { t.Error(r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Attach(p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Finish)
	return p
}
