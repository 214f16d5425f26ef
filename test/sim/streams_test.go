package sim

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
)

// Whatever the path does, streams are equal, payloads in SYNs arrive once, and
// nothing is left behind.
func TestStreams(t *testing.T) {
	covers.IDs(t, "B-08", "B-10", "P2", "P4", "P11")
	first, n := *from, uint64(*runs)
	if *one >= 0 {
		first, n = uint64(*one), 1
	}
	var next, failures atomic.Uint64
	var sum totals
	t.Cleanup(func() { t.Log(sum.String()) })
	shards := min(runtime.GOMAXPROCS(0), int(n))
	for i := range shards {
		t.Run(fmt.Sprint("shard", i), func(t *testing.T) {
			t.Parallel()
			for k := next.Add(1) - 1; k < n && failures.Load() < 3; k = next.Add(1) - 1 {
				s := newScenario(first + k)
				if !s.run(t, &sum) {
					failures.Add(1)
				}
			}
		})
	}
}

// run makes the run and reports whether it went well.
func (s *scenario) run(t *testing.T, sum *totals) bool {
	ok := true
	r := stacktest.Run(t, stacktest.Config{
		Seed: s.seed, Dir: *dir,
		Replay: s.replay(),
	}, func(n *stacktest.Net) {
		defer func() {
			if ok = !n.T().Failed(); !ok {
				n.T().Logf("seed %d: %v", s.seed, s)
			}
		}()
		s.play(n, sum)
	})
	sum.run(r)
	return ok
}

func (s *scenario) replay() string {
	if s.test != "" {
		return fmt.Sprintf("go test ./test/sim -run '^%s$' %s", s.test, s.flags)
	}
	return fmt.Sprintf("go test ./test/sim -run '^TestStreams$' -sim.seed=%d", s.seed)
}

// turnBad makes the path what the scenario says.
func (s *scenario) turnBad(w *world) {
	line := w.client.Line()
	line.Set(s.path)
	if s.in != nil {
		line.SetIn(*s.in)
	}
	if s.boxes != nil {
		line.SetBoxes(s.boxes(w)...)
	}
}

func (s *scenario) play(n *stacktest.Net, sum *totals) {
	w := build(n, s.v6, s.mode(), stacktest.LineConfig{})
	if !s.warm {
		s.turnBad(w)
	}
	fast := &s.policy
	if s.role == clientOnly {
		fast = nil
	}
	w.serve(fast, s.answer)
	results := make([]*result, len(s.talks))
	var wait []func()
	for i := range s.talks {
		results[i] = &result{}
		if i == 1 && s.warm {
			s.turnBad(w)
		}
		if i == 1 && s.between != nil {
			s.between(w)
		}
		if i == 0 || !s.together {
			s.talk(w, i, results[i])
			continue
		}
		wait = append(wait, n.Go(func() { s.talk(w, i, results[i]) }))
	}
	for _, f := range wait {
		f()
	}
	w.finish()
	if s.and != nil {
		s.and(w, results)
	}
	if s.wild {
		return
	}
	for i, r := range results {
		w.check(i, r, s.harsh())
	}
	w.ghosts()
	s.resets(w)
	s.counters(w, results)
	sum.add(results, w)
}

// harsh says that the path loses so much that a connection may fail within the
// limits: with an error, and nothing delivered wrong or twice.
func (s *scenario) harsh() bool {
	return s.lenient || 1-(1-s.path.Loss)*(1-s.path.Corrupt) >= 0.1
}

// talk is the client's part in a connection.
func (s *scenario) talk(w *world, i int, r *result) {
	t := s.talks[i]
	up := stream(s.seed, i, t.up, false)
	r.want, r.sent = stream(s.seed, i, t.down, true), up
	c, err := w.client.Open(w.serverAddr())
	if err != nil {
		w.t.Error(err)
		return
	}
	defer func() { _ = c.Close() }()
	local := w.portOf(i)
	if err := c.Bind(local); err != nil {
		w.t.Errorf("bind %v: %v", local, err)
		return
	}
	r.local = local
	w.plan(local, t, i)
	if r.err = c.Connect(w.serverAddr(), stack.ConnectOptions{Data: up[:t.offered], FastOpen: w.mode}); r.err != nil {
		return
	}
	r.err = c.Connected()
	r.outcome = c.FastOpenInfo()
	if r.err != nil {
		return
	}
	r.dialed = true
	for rest := up[t.offered:]; len(rest) > 0 && r.err == nil; {
		n := min(len(rest), 700)
		_, r.err = c.Write(rest[:n])
		rest = rest[n:]
	}
	r.left = r.err == nil && t.style == leave
	if r.err == nil && t.style != leave {
		r.err = c.CloseWrite()
	}
	if r.err == nil && t.style != leave {
		r.got, r.err = read(c)
	}
	r.outcome = c.FastOpenInfo()
	if r.err != nil {
		c.Abort()
	}
}

// answer is the server's part.
func (s *scenario) answer(w *world, c *stacktest.Conn, a *arrival) {
	t, i, known := w.planOf(c.RemoteAddr())
	down := stream(s.seed, i, t.down, true)
	if known && t.style == greet {
		_, a.err = c.Write(down)
	}
	if a.err == nil && known && t.style == serverFirst {
		a.got = make([]byte, t.up)
		var n int
		n, a.err = readFull(c, a.got)
		a.got = a.got[:n]
	} else if a.err == nil {
		a.got, a.err = read(c)
	}
	if a.err == nil && t.style != greet {
		_, a.err = c.Write(down)
	}
	if a.err == nil && t.style == serverFirst {
		a.err = lastWord(c)
	}
	if a.err != nil {
		c.Abort()
		return
	}
	_ = c.Close()
}

// lastWord sends a FIN and waits for the client's. A Close instead would be a risk
// of its own: netstack resets a connection that was closed before the peer's FIN
// was processed as soon as an ACK overtakes that FIN.
func lastWord(c *stacktest.Conn) error {
	if err := c.CloseWrite(); err != nil {
		return err
	}
	more, err := read(c)
	if len(more) > 0 {
		return fmt.Errorf("%d bytes too many", len(more))
	}
	return err
}

// resets looks for connections that were reset: no script here does so, and a path
// that loses little gives no reason to.
func (s *scenario) resets(w *world) {
	w.t.Helper()
	for name, h := range map[string]*stacktest.Host{"client": w.client, "server": w.server} {
		if n := h.Stack.Stats().EstablishedResets; n > 0 && !s.harsh() {
			w.t.Errorf("%d connections of the %s were reset", n, name)
		}
	}
}

// counters compares the statistics of both sides with what the connections
// reported.
func (s *scenario) counters(w *world, results []*result) {
	w.t.Helper()
	var active, fail, dataless uint64
	for _, r := range results {
		o := r.outcome
		switch {
		case o.BytesInSYN == 0 && o.Cookie == tfo.CookieSent:
			dataless++
		case o.BytesInSYN == 0 || !o.Answered:
		case o.BytesAccepted == o.BytesInSYN:
			active++
		default:
			fail++
		}
		if o.BytesAccepted > o.BytesInSYN || o.BytesInSYN > len(r.sent) {
			w.t.Errorf("outcome %+v for %d bytes", o, len(r.sent))
		}
	}
	got := w.client.Stack.FastOpen().Stats()
	if got.TCPFastOpenActive != active {
		w.t.Errorf("TCPFastOpenActive is %d, the connections say %d", got.TCPFastOpenActive, active)
	}
	if got.TCPFastOpenActiveFail < fail { // a failed connect counts and reports nothing
		w.t.Errorf("TCPFastOpenActiveFail is %d, the connections say %d", got.TCPFastOpenActiveFail, fail)
	}
	if w.listener.Fast() == nil {
		return
	}
	passive := w.listener.Fast().Stats().TCPFastOpenPassive
	if clear := s.test == "" && s.path.Loss+s.path.Duplicate+s.path.Reorder+s.path.Corrupt == 0; clear && passive != active+dataless {
		w.t.Errorf("TCPFastOpenPassive is %d, the connections say %d with data and %d without", passive, active, dataless)
	} else if passive < active {
		w.t.Errorf("TCPFastOpenPassive is %d, TCPFastOpenActive %d", passive, active)
	}
}
