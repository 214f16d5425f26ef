// Package covers ties tests to the catalogue of behaviours: a test that proves
// an item says so with one call, and the command test/coverage lists which test
// proves which item and fails if an item has none.
package covers

import (
	"regexp"
	"testing"
)

var form = regexp.MustCompile(`^(?:[CSBH]-\d{2}|P\d{1,2}|PIN-[a-z0-9-]+)$`)

// IDs says that the calling test proves the items of BEHAVIOUR.md, HAZARDS.md
// or PROMISES.md with these identifiers. The arguments must be string literals:
// the coverage command reads them from the source.
func IDs(t testing.TB, ids ...string) {
	t.Helper()
	if len(ids) == 0 {
		t.Fatal("covers.IDs: name at least one item")
	}
	for _, id := range ids {
		if !form.MatchString(id) {
			t.Fatalf("covers.IDs: %q is not of the form C-01, S-01, B-01, H-01, P1 or PIN-name", id)
		}
	}
}
