package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/test/covers"
)

// dropping is the standard scenario with one connection of every kind after the
// warm-up, of which packets are lost by number: those of the client, and those to
// it.
func dropping(t *testing.T, v6 bool, out, in []int) bool {
	s := standard(1, v6)
	for i := range s.talks[1:] { // enough for firstDrops packets each way
		s.talks[1+i].up, s.talks[1+i].down = 25000, 25000
	}
	s.path.Drop = out
	back := s.path
	back.Drop = in
	s.in = &back
	s.test = strings.ReplaceAll(t.Name(), "/", "$/^")
	s.and = func(w *world, _ []*result) {
		goes, comes := w.client.Line().Counted()
		if goes < slices.Max(append(out, 0)) || comes < slices.Max(append(in, 0)) {
			w.t.Errorf("of %d packets out and %d in none was lost: there is nothing to see", goes, comes)
		}
	}
	var sum totals
	return s.run(t, &sum)
}

const (
	firstDrops = 40 // each of them alone
	firstPairs = 12 // each pair of them
)

// Row 3: every packet of the first 40 is lost once, in both directions.
func TestRow03EveryPacketOnce(t *testing.T) {
	covers.IDs(t, "P2", "P4", "B-08")
	for _, v6 := range []bool{false, true} {
		for k := 1; k <= firstDrops; k++ {
			for _, way := range []string{"out", "in"} {
				t.Run(fmt.Sprintf("v6=%v/%s/%d", v6, way, k), func(t *testing.T) {
					if way == "out" {
						dropping(t, v6, []int{k}, nil)
						return
					}
					dropping(t, v6, nil, []int{k})
				})
			}
		}
	}
}

// Row 4: every pair of the first 12 packets, within and across directions.
func TestRow04EveryPair(t *testing.T) {
	covers.IDs(t, "P2", "P4", "B-08")
	for j := 1; j <= firstPairs; j++ {
		for k := 1; k <= firstPairs; k++ {
			t.Run(fmt.Sprintf("across/%d,%d", j, k), func(t *testing.T) { dropping(t, false, []int{j}, []int{k}) })
			if j < k {
				t.Run(fmt.Sprintf("out/%d,%d", j, k), func(t *testing.T) { dropping(t, false, []int{j, k}, nil) })
				t.Run(fmt.Sprintf("in/%d,%d", j, k), func(t *testing.T) { dropping(t, false, nil, []int{j, k}) })
			}
		}
	}
}
