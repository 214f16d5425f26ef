package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// keepPassed drops the refs whose test did not pass in the file of go test -json
// events. A subtest whose name is made at run time counts with its parent.
func keepPassed(refs []ref, file string) ([]ref, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	passed := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		if !bytes.HasPrefix(lines.Bytes(), []byte("{")) {
			continue
		}
		var event struct{ Action, Package, Test string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("%s is not what go test -json prints: %w", file, err)
		}
		if event.Action == "pass" && event.Test != "" {
			passed[event.Package+"."+event.Test] = true
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(passed) == 0 {
		return nil, fmt.Errorf("%s holds no passed test", file)
	}
	var kept []ref
	for _, r := range refs {
		test, _, _ := strings.Cut(r.Test, "/*")
		if passed[importPath(r.Package)+"."+test] {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// modulePath is the import path of the repository's root.
const modulePath = "github.com/wskstack/wskstack"

func importPath(dir string) string {
	if dir == "." {
		return modulePath
	}
	return modulePath + "/" + dir
}
