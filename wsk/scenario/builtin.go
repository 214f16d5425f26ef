package scenario

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed builtin/*.yaml
var builtinTable embed.FS

// Builtin returns the scenarios that come with the program, by name.
func Builtin() ([]*Scenario, error) {
	entries, err := builtinTable.ReadDir("builtin")
	if err != nil {
		return nil, err
	}
	var out []*Scenario
	for _, e := range entries {
		text, err := builtinTable.ReadFile(path.Join("builtin", e.Name()))
		if err != nil {
			return nil, err
		}
		s, err := Parse(e.Name(), text)
		if err != nil {
			return nil, err
		}
		if s.Name+".yaml" != e.Name() {
			return nil, fmt.Errorf("the scenario in %s is called %s", e.Name(), s.Name)
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *Scenario) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
