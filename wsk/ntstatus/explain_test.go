package ntstatus

import (
	"fmt"
	"strings"
	"testing"
)

// TestExplain has a paragraph for every code, and no other.
func TestExplain(t *testing.T) {
	for _, r := range table {
		text := r.status.Explain()
		if !strings.Contains(text, r.name) || len(explainTable[r.status]) < 40 || !strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
			t.Errorf("%s has no paragraph in explainTable: %q", r.name, text)
		}
	}
	if len(explainTable) != len(table) {
		t.Errorf("%d paragraphs for %d codes", len(explainTable), len(table))
	}
	if got := Status(0xC0FFEE).Explain(); !strings.Contains(got, "not a code") {
		t.Errorf("an unknown code: %q", got)
	}
}

// TestParse reads what String and the value print.
func TestParse(t *testing.T) {
	for _, r := range table {
		for _, text := range []string{r.name, fmt.Sprintf("0x%X", uint32(r.status)), fmt.Sprintf("0x%08x", uint32(r.status)),
			strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(r.name, "STATUS_"), "_", "-"))} {
			if s, ok := Parse(text); !ok || s != r.status {
				t.Errorf("Parse(%q) = %v, %v", text, s, ok)
			}
		}
	}
	for _, text := range []string{"", "0x", "0xC0FFEE", "0x1C0000120", "STATUS_NONSENSE", "259"} {
		if s, ok := Parse(text); ok {
			t.Errorf("Parse(%q) = %v", text, s)
		}
	}
}
