package wskrun

import (
	"strings"
	"testing"

	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
	"github.com/wskstack/wskstack/wsk/scenario"
)

// TestBuiltinKernel runs the scenarios against the Linux kernel.
func TestBuiltinKernel(t *testing.T) {
	netnstest.Require(t, netns.Available())
	w, err := wire.Open(wire.TUN, wire.Config{})
	netnstest.Require(t, err)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := scenario.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range list {
		for family, name := range map[int]string{4: "ipv4", 6: "ipv6"} {
			t.Run(sc.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				r, err := inKernel(t.Context(), sc, sc.Knobs, family)
				if err != nil {
					t.Fatal(err)
				}
				if !r.OK {
					var b strings.Builder
					_ = r.WriteText(&b, true)
					t.Error(b.String())
				}
			})
		}
	}
}
