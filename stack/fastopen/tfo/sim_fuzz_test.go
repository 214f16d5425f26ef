package tfo_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/wskstack/wskstack/test/covers"
)

// script chooses what its bytes say; the lowest when there are none left.
type script struct {
	*testing.T
	rest []byte
}

func (s *script) choose(_ string, lo, hi int) int {
	n := s.next()
	if hi-lo > 255 {
		n = n<<8 | s.next()
	}
	return lo + n%(hi-lo+1)
}

func (s *script) next() int {
	if len(s.rest) == 0 {
		return 0
	}
	b := s.rest[0]
	s.rest = s.rest[1:]
	return int(b)
}

// longestScript is about 500 steps.
const longestScript = 1500

// FuzzMachines has the client's machine and the server's talk over a network whose
// every step the fuzzer chooses. What must hold is what TestMachinesKeepTheStream
// wants.
func FuzzMachines(f *testing.F) {
	covers.IDs(f, "P2", "P5")
	f.Add([]byte{})
	f.Add([]byte("any network may do this, or that, and much else besides, in any order"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &script{T: t, rest: b[:min(len(b), longestScript)]}
		w := newWorld(s)
		steps := w.steps()
		names := slices.Sorted(maps.Keys(steps))
		for len(s.rest) > 0 {
			steps[names[s.choose("step", 0, len(names)-1)]]()
			w.check()
		}
		w.finish()
	})
}
