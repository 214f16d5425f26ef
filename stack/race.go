package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// resolutionDelay is how long IPv4 addresses wait for the answer about IPv6 ones (RFC
// 8305 §3).
const resolutionDelay = 50 * time.Millisecond

// target is what a dial is to reach: known addresses, or a name.
type target struct {
	known []netip.AddrPort
	name  string
	port  uint16
	ask   []family // of the name's addresses, the preferred one first
}

// targets says what an address of DialContext means.
func (d *Dialer) targets(f family, to hostPort) (target, error) {
	switch {
	case to.host == "" || to.host == netip.Addr{}.String() || to.addr.IsUnspecified():
		if to.addr.IsUnspecified() && f == anyFamily && to.addr.Is4() {
			f = onlyIPv4
		}
		own := d.toSelf(f, to.port)
		if len(own) == 0 {
			return target{}, unsuitable(to.host)
		}
		return target{known: own[:1]}, nil
	case to.addr.IsValid():
		if !f.has(to.addr) {
			return target{}, unsuitable(to.host)
		}
		return target{known: []netip.AddrPort{netip.AddrPortFrom(to.addr, to.port)}}, nil
	}
	t := target{name: to.host, port: to.port}
	for _, g := range []family{onlyIPv6, onlyIPv4} {
		if f == g || f == anyFamily && len(d.Stack.self(g)) > 0 {
			t.ask = append(t.ask, g)
		}
	}
	if len(t.ask) == 0 { // the addresses were given to netstack itself
		t.ask = []family{onlyIPv6, onlyIPv4}
	}
	return t, nil
}

// answer is what a resolver said about one family.
type answer struct {
	of    family
	addrs []netip.AddrPort
	err   error
}

// lookUp asks for a name's addresses of one family.
func (d *Dialer) lookUp(ctx context.Context, t target, f family) answer {
	r := d.Resolver
	if r == nil {
		r = d.Stack.Resolver()
	}
	network := "ip6"
	if f == onlyIPv4 {
		network = "ip4"
	}
	found, err := r.LookupNetIP(ctx, network, t.name)
	a := answer{of: f, err: err}
	for _, addr := range found {
		if addr = plain(addr); addr.IsValid() && f.has(addr) {
			a.addrs = append(a.addrs, netip.AddrPortFrom(addr, t.port))
		}
	}
	return a
}

// addresses is all that there are for a target, for those who try one after another.
func (d *Dialer) addresses(ctx context.Context, t target) ([]netip.AddrPort, error) {
	if t.known != nil {
		return t.known, nil
	}
	r := racing{d: d, to: t}
	for _, f := range t.ask {
		r.learn(d.lookUp(ctx, t, f))
	}
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	all := slices.Concat(r.waiting[onlyIPv6], r.waiting[onlyIPv4])
	if len(all) == 0 {
		return nil, r.why()
	}
	return all, nil
}

// attempted is how one connect of a race ended.
type attempted struct {
	index int
	conn  *TCPConn
	err   error
}

// racing is a dial to a target of several addresses, by RFC 8305: both families are
// asked for at the same time; addresses are tried in turn, the next one when the
// current one has failed or had its time; the first connection wins. All of it
// belongs to the goroutine of the dial, which waits for all that it has started.
type racing struct {
	d       *Dialer
	network string
	local   netip.AddrPort
	to      target
	data    []byte

	answers chan answer // holds all that are to come
	results chan attempted
	timer   tcpip.Timer
	tick    chan struct{} // closed when the time that is set is over

	asked    int // answers that are to come
	asking6  bool
	waiting  [onlyIPv6 + 1][]netip.AddrPort // by family
	last     family                         // of the newest attempt
	started  int
	running  int
	due      bool // the newest attempt has had its time
	inSYN    bool // the first attempt has the data, or waits for it
	problems []error
	failures []attempted
}

// race connects to the first address of a target that answers.
func (d *Dialer) race(ctx context.Context, network string, local netip.AddrPort, to target, data []byte) (*TCPConn, error) {
	if len(to.known) == 1 {
		return d.dialTCP(ctx, network, local, to.known[0], d.options(data))
	}
	r := &racing{d: d, network: network, local: local, to: to, data: data,
		answers: make(chan answer, len(to.ask)), results: make(chan attempted)}
	inner, cancel := context.WithCancel(ctx)
	won, err := r.run(inner)
	cancel()
	if r.timer != nil {
		r.timer.Stop()
	}
	for ; r.running > 0; r.running-- {
		if x := <-r.results; x.conn != nil {
			x.conn.abort()
		}
	}
	if err != nil {
		return nil, err
	}
	if won.index > 0 || !r.inSYN {
		if err := won.conn.hand(ctx, data); err != nil {
			won.conn.abort()
			return nil, d.failed(network, local, won.conn.ep.RemoteAddr(), err)
		}
	}
	return won.conn, nil
}

func (r *racing) run(ctx context.Context) (attempted, error) {
	if err := r.ask(ctx); err != nil {
		return attempted{}, err
	}
	for {
		if err := r.start(ctx); err != nil {
			return attempted{}, err
		}
		switch {
		case ctx.Err() != nil:
			return attempted{}, ended(ctx)
		case r.running == 0 && r.asked == 0 && r.next() == nil:
			return attempted{}, r.why()
		}
		select {
		case a := <-r.answers:
			r.asked--
			r.learn(a)
		case x := <-r.results:
			r.running--
			if x.err == nil {
				return x, nil
			}
			r.failures = append(r.failures, x)
			r.due = true
		case <-r.tick:
			r.tick, r.due = nil, true
		case <-ctx.Done():
			return attempted{}, ended(ctx)
		}
	}
}

// ask starts the look-ups.
func (r *racing) ask(ctx context.Context) error {
	for _, f := range r.to.ask {
		if err := r.d.Stack.work(func() { r.answers <- r.d.lookUp(ctx, r.to, f) }); err != nil {
			return err
		}
		r.asked++
		r.asking6 = r.asking6 || f == onlyIPv6
	}
	return nil
}

// learn takes an answer in.
func (r *racing) learn(a answer) {
	if a.err != nil {
		r.problems = append(r.problems, a.err)
	}
	r.waiting[a.of] = append(r.waiting[a.of], a.addrs...)
	switch {
	case a.of == onlyIPv6:
		r.asking6 = false
	case r.asking6 && len(a.addrs) > 0:
		r.after(resolutionDelay)
	}
}

// after sets the time at whose end due is true.
func (r *racing) after(d time.Duration) {
	if r.timer != nil {
		r.timer.Stop()
	}
	tick := make(chan struct{})
	r.due, r.tick = false, tick
	r.timer = r.d.Stack.cfg.Clock.AfterFunc(d, func() { close(tick) })
}

// next is where the next attempt is waiting: the families take turns, IPv6 begins.
func (r *racing) next() *[]netip.AddrPort {
	turn := onlyIPv6
	if r.last == onlyIPv6 {
		turn = onlyIPv4
	}
	for _, f := range []family{turn, onlyIPv6, onlyIPv4} {
		if len(r.waiting[f]) > 0 {
			return &r.waiting[f]
		}
	}
	return nil
}

// start begins an attempt if it is time for one.
func (r *racing) start(ctx context.Context) error {
	from := r.next()
	switch {
	case from == nil,
		r.started == 0 && r.asking6 && !r.due, // the answer about IPv6 may still come
		r.running > 0 && (!r.due || r.d.FallbackDelay < 0):
		return nil
	}
	to := (*from)[0]
	*from = (*from)[1:]
	opts := ConnectOptions{FastOpen: r.d.FastOpen, Timeout: r.d.Timeout}
	if r.started == 0 && r.d.Stack.carries(r.local.Addr(), to, r.d.FastOpen) {
		opts = r.d.options(r.data)
		r.inSYN = true
	}
	index := r.started
	err := r.d.Stack.work(func() {
		c, err := r.d.dialTCP(ctx, r.network, r.local, to, opts)
		r.results <- attempted{index: index, conn: c, err: err}
	})
	if err != nil {
		return err
	}
	r.last = familyOf(to.Addr())
	r.started++
	r.running++
	switch d := r.d.FallbackDelay; {
	case d == 0:
		r.after(DefaultFallbackDelay)
	case d > 0:
		r.after(d)
	}
	return nil
}

// why is the error of a race that nobody won: that of the first address, or why there
// are no addresses.
func (r *racing) why() error {
	if len(r.failures) > 0 {
		slices.SortFunc(r.failures, func(a, b attempted) int { return a.index - b.index })
		return r.failures[0].err
	}
	for _, err := range r.problems {
		var dns *net.DNSError
		if !errors.As(err, &dns) || !dns.IsNotFound {
			return err
		}
	}
	if len(r.problems) > 0 {
		return r.problems[0]
	}
	return unsuitable(r.to.name)
}

// hand writes data whole, or until ctx ends.
func (c *TCPConn) hand(ctx context.Context, data []byte) error {
	ready := c.writes.listen()
	defer c.writes.rest()
	for len(data) > 0 {
		n, err := c.ep.Write([][]byte{data})
		data = data[n:]
		switch {
		case err == nil:
			continue
		case !wouldBlock(err):
			return err
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return ended(ctx)
		}
	}
	return nil
}
