package netnstest

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/test/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spy is a test that notes how it was ended.
type spy struct {
	testing.TB
	skipped, failed bool
}

func (s *spy) Helper()              {}
func (s *spy) Skipf(string, ...any) { s.skipped = true }
func (s *spy) Fatal(...any)         { s.failed = true }

func TestRequire(t *testing.T) {
	for name, c := range map[string]struct {
		err             error
		skipped, failed bool
	}{
		"nothing wrong":   {nil, false, false},
		"no privilege":    {fmt.Errorf("tun: %w", netns.ErrPrivilege), true, false},
		"no device":       {netns.Withheld(errors.New("no device")), true, false},
		"any other fault": {errors.New("broken"), false, true},
	} {
		s := &spy{}
		Require(s, c.err)
		if s.skipped != c.skipped || s.failed != c.failed {
			t.Errorf("%s: skipped %v, failed %v", name, s.skipped, s.failed)
		}
	}
}

func TestNewGivesANamespaceThatEndsWithTheTest(t *testing.T) {
	var ns *netns.Namespace
	t.Run("inner", func(t *testing.T) { ns = New(t) })
	if ns != nil && ns.Path() != "" {
		t.Error("the namespace outlived its test")
	}
}

func TestMapped(t *testing.T) {
	const whole, one = "         0          0 4294967295\n", "         0      65534          1\n"
	for _, c := range []struct {
		text string
		id   uint64
		want bool
	}{
		{whole, 0, true}, {whole, nobody, true}, {one, 0, true}, {one, nobody, false}, {"", 0, false},
		{"0 1000 1\n1 100000 65536\n", nobody, true}, {"10 0 5\n", 9, false}, {"10 0 5\n", 15, false},
	} {
		if got := mapped(c.text, c.id); got != c.want {
			t.Errorf("%d in %q: %v", c.id, c.text, got)
		}
	}
}
