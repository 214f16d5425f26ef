package main

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestIdle says that no connection has a goroutine of ours, and that its memory does not
// creep up: a field that each has is to be worth it.
func TestIdle(t *testing.T) {
	for _, k := range kinds() {
		c, err := k.measure(500)
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		want := 0.0
		if strings.Contains(k.name, "a Read waits") {
			want = 1 // the caller's
		}
		if math.Abs(c.goroutines-want) > 0.1 { // a connect's own may be just about to end
			t.Errorf("%s: %v goroutines for each connection, want %v", k.name, c.goroutines, want)
		}
		if c.heap < k.most*0.8 || c.heap > k.most {
			t.Errorf("%s: %.0f bytes of heap for each end, at most %.0f are right; if it is far less now, lower that", k.name, c.heap, k.most)
		}
	}
}

func TestPrograms(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	all, err := programs(root)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(all[0].source, "stack.New(") || !strings.HasPrefix(all[0].source, "package main") {
		t.Errorf("the README's program is not one:\n%s", all[0].source)
	}
	broken := program{name: "broken", source: "package main\n\nfunc main() { nothing() }\n"}
	if _, _, err := broken.sizes(root); err == nil || !strings.Contains(err.Error(), "broken does not build") {
		t.Errorf("a program that does not build: %v", err)
	}
}

func TestRefuses(t *testing.T) {
	var out bytes.Buffer
	for _, n := range []int{-1, 0, 20001} {
		if err := run(&out, n, false); err == nil {
			t.Errorf("%d connections were not refused", n)
		}
	}
}
