package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/stacktest"
)

// role says which side has Fast Open on.
type role uint8

const (
	both role = iota
	clientOnly
	serverOnly
	roles
)

func (r role) String() string { return [...]string{"both", "client", "server"}[r] }

// style is who talks and closes in which order.
type style uint8

const (
	// ask: the client sends all and a FIN, the server answers after that.
	ask style = iota
	// greet: the server answers before it reads.
	greet
	// chunks: the client offers a part with connect and writes the rest later.
	chunks
	// leave: the client closes as soon as it has sent.
	leave
	// serverFirst: the server closes when it has answered.
	serverFirst
	styles
)

// talk is one connection.
type talk struct {
	style    style
	up, down int // bytes
	offered  int // of up, with connect
}

// scenario is one run. It follows from its seed.
type scenario struct {
	seed uint64
	v6   bool
	role role
	path stacktest.Path
	// warm: the first connection finds a perfect path, so that the others have a
	// cookie.
	warm bool
	// together: the connections after the first go on at the same time.
	together   bool
	cookieless bool
	policy     fastopen.ListenConfig
	talks      []talk

	// What follows is for tests of one fault; a drawn scenario has none of it.

	// test and flags are for the replay line.
	test, flags string
	// boxes makes the middleboxes on the client's line, once the path is bad.
	boxes func(w *world) []stacktest.Middlebox
	// in is the path to the client, if it is not path.
	in *stacktest.Path
	// lenient lets connections fail with an error; wild lets streams differ.
	lenient, wild bool
	// between is called between the warm-up and the other connections.
	between func(w *world)
	// and looks at the results.
	and func(w *world, results []*result)
}

var losses = [...]float64{0, 0.01, 0.05, 0.20}

// newScenario goes through all cells of {loss} × {reorder, duplicate, corrupt} ×
// {family} × {role} as seeds count up, and draws the rest.
func newScenario(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	cell := seed
	next := func(n uint64) uint64 {
		v := cell % n
		cell /= n
		return v
	}
	s := scenario{seed: seed}
	s.role = role(next(uint64(roles)))
	s.v6 = next(2) == 1
	s.path.Loss = losses[next(uint64(len(losses)))]
	if next(2) == 1 {
		s.path.Reorder = pick(r, 0.01, 0.1, 0.5)
	}
	if next(2) == 1 {
		s.path.Duplicate = pick(r, 0.01, 0.1, 0.5)
	}
	if next(2) == 1 {
		s.path.Corrupt = pick(r, 0.001, 0.02, 0.1)
	}
	s.path.Delay = pick(r, 0, time.Millisecond, 20*time.Millisecond, 150*time.Millisecond)
	s.path.Jitter = s.path.Delay / time.Duration(pick(r, 1, 4, 1000))
	s.warm = r.IntN(4) > 0
	s.together = r.IntN(4) == 0
	s.cookieless = r.IntN(8) == 0
	s.policy = fastopen.ListenConfig{
		Cookieless: s.cookieless,
		HoldData:   r.IntN(6) == 0,
	}
	if r.IntN(6) == 0 {
		s.policy.EarlyDataCap = 1 + r.IntN(3000)
	}
	for range 2 + r.IntN(2) {
		t := talk{style: style(r.IntN(int(styles))), up: size(r), down: size(r)}
		t.offered = t.up
		if t.style == chunks {
			t.offered = r.IntN(t.up + 1)
		}
		if t.style == leave {
			t.down = 0
		}
		s.talks = append(s.talks, t)
	}
	return s
}

// size draws the length of a stream: small mostly, and round the limits of a SYN.
func size(r *rand.Rand) int {
	switch n := r.IntN(100); {
	case n < 25:
		return r.IntN(100)
	case n < 55:
		return r.IntN(1600)
	case n < 75:
		return pick(r, 0, 1, 536, 537, 1219, 1220, 1221, 1399, 1400, 1401, 1419, 1420, 1421, 1460, 2840, 2841)
	case n < 97:
		return r.IntN(10000)
	default:
		return r.IntN(65536)
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func (s *scenario) String() string {
	return fmt.Sprintf("fast open %v, v6 %v, warm %v, together %v, policy %+v, path %+v, talks %+v",
		s.role, s.v6, s.warm, s.together, s.policy, s.path, s.talks)
}

func (s *scenario) mode() fastopen.Mode {
	switch {
	case s.role == serverOnly:
		return fastopen.ModeOff
	case s.cookieless:
		return fastopen.ModeCookieless
	}
	return fastopen.ModeOn
}
