package wskrun

import (
	"testing"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/wsk/scenario"
)

// TestBuiltinKernel runs the scenarios against the Linux kernel.
func TestBuiltinKernel(t *testing.T) {
	netnstest.Require(t, netns.Available())
	for _, sc := range builtin(t) {
		for family, name := range map[int]string{4: "ipv4", 6: "ipv6"} {
			t.Run(sc.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				r, err := inKernel(t.Context(), sc, sc.Knobs, family)
				netnstest.Require(t, err)
				if !r.OK {
					t.Error(report(r))
				}
			})
		}
	}
}

// TestFastOpenInEveryMode: against the kernel the second contact's bytes ride in the SYN,
// whenever requests complete.
func TestFastOpenInEveryMode(t *testing.T) {
	netnstest.Require(t, netns.Available())
	for _, sc := range builtin(t) {
		if sc.Name != "connectex-fastopen" {
			continue
		}
		for _, mode := range []string{"later", "inline", "random"} {
			knobs := sc.Knobs
			var err error
			if knobs.Completion, err = scenario.ParseCompletion(mode); err != nil {
				t.Fatal(err)
			}
			r, err := inKernel(t.Context(), sc, knobs, 4)
			netnstest.Require(t, err)
			if !r.OK {
				t.Errorf("%s:\n%s", mode, report(r))
			}
		}
	}
}
