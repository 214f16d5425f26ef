package tune

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/wskstack/wskstack/stack"
)

// settings are the defaults, and what differs from them in one thing each.
func settings() []setting {
	receive := func(b stack.BufferSize) func(*stack.Config) {
		return func(c *stack.Config) { c.ReceiveBuffer = b }
	}
	transmit := func(b stack.BufferSize) func(*stack.Config) {
		return func(c *stack.Config) { c.SendBuffer = b }
	}
	rack, delay, fixed := tcpip.TCPRACKLossDetection, tcpip.TCPDelayEnabled(true), tcpip.TCPModerateReceiveBufferOption(false)
	return []setting{
		{name: "defaults"},
		{name: "no SACK", config: func(c *stack.Config) { c.DisableSACK = true }},
		{name: "RACK", options: []tcpip.SettableTransportProtocolOption{&rack}},
		{name: "reno", config: func(c *stack.Config) { c.CongestionControl = "reno" }},
		{name: "Nagle", options: []tcpip.SettableTransportProtocolOption{&delay}},
		{name: "RTO 50ms", config: func(c *stack.Config) { c.MinRTO = 50 * time.Millisecond }},
		{name: "RTO 100ms", config: func(c *stack.Config) { c.MinRTO = 100 * time.Millisecond }},
		{name: "rcv 1M", config: receive(stack.BufferSize{Max: 1 << 20})},
		{name: "rcv 4M", config: receive(stack.BufferSize{Max: 4 << 20})},
		{name: "rcv 8M", config: receive(stack.BufferSize{Max: 8 << 20})},
		{name: "rcv fixed", options: []tcpip.SettableTransportProtocolOption{&fixed}},
		{name: "rcv first 1M", config: receive(stack.BufferSize{Default: 1 << 20})},
		{name: "rcv first 64K", config: receive(stack.BufferSize{Default: 64 << 10})},
		{name: "snd 1M", config: transmit(stack.BufferSize{Max: 1 << 20})},
		{name: "snd 8M", config: transmit(stack.BufferSize{Max: 8 << 20})},
		{name: "snd first 1M", config: transmit(stack.BufferSize{Default: 1 << 20})},
		{name: "snd first 32K", config: transmit(stack.BufferSize{Default: 32 << 10})},
	}
}

// chosen are the settings to measure, the defaults first.
func chosen(t *testing.T) []setting {
	t.Helper()
	which, err := regexp.Compile(*only)
	if err != nil {
		t.Fatal(err)
	}
	all := settings()
	return append(all[:1:1], slices.DeleteFunc(all[1:], func(s setting) bool { return !which.MatchString(s.name) })...)
}

// table is some links that are measured together.
type table struct {
	name  string
	links []link
}

// tables are the ways that are measured.
func tables() []table {
	const ms, mbit = time.Millisecond, 1_000_000
	var clean, lossy, reordering table
	clean.name, lossy.name, reordering.name = "Clean", "Loss", "Reordering"
	for _, rtt := range []time.Duration{1 * ms, 20 * ms, 50 * ms, 100 * ms} {
		for _, queue := range []float64{1, 0.1} {
			clean.links = append(clean.links, link{rtt: rtt, rate: 200 * mbit, queue: queue})
		}
	}
	clean.links = append(clean.links, link{rtt: 50 * ms, rate: 1000 * mbit, queue: 1})
	for _, rtt := range []time.Duration{1 * ms, 20 * ms, 100 * ms} {
		for _, loss := range []float64{0.001, 0.01, 0.05} {
			lossy.links = append(lossy.links, link{rtt: rtt, rate: 200 * mbit, queue: 1, loss: loss})
		}
		reordering.links = append(reordering.links,
			link{rtt: rtt, rate: 200 * mbit, queue: 1, reorder: 0.01, by: rtt / 8},
			link{rtt: rtt, rate: 200 * mbit, queue: 1, reorder: 0.01, by: rtt},
			link{rtt: rtt, rate: 200 * mbit, queue: 1, reorder: 0.1, by: rtt})
	}
	return []table{clean, lossy, reordering}
}

// TestTable prints the tables. It fails if a transfer is not whole, hangs with the
// defaults, or takes another time when it is made again.
func TestTable(t *testing.T) {
	for _, which := range tables() {
		t.Run(which.name, func(t *testing.T) {
			if *size < 1_000_000 {
				which.links = which.links[:2]
			}
			var text strings.Builder
			w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
			head := []string{"RTT, bottleneck", "time", "Mbit/s", "again"}
			for _, s := range chosen(t)[1:] {
				head = append(head, s.name)
			}
			fmt.Fprintln(w, strings.Join(head, "\t")+"\t")
			for _, l := range which.links {
				fmt.Fprintln(w, strings.Join(row(t, l), "\t")+"\t")
			}
			_ = w.Flush()
			t.Logf("%d bytes, medians of %d: the defaults' time, rate and packets sent again; times as multiples of it, (n) hung\n%s", *size, *runs, text.String())
		})
	}
}

// row measures a link with all settings.
func row(t *testing.T, l link) []string {
	t.Helper()
	all := chosen(t)
	base, first, _ := median(t, l, all[0])
	mbit := float64(*size) * 8 / base.Seconds() / 1e6
	cells := []string{l.String(), fmt.Sprintf("%.3f s", base.Seconds()), fmt.Sprintf("%.0f", mbit), fmt.Sprint(first.retransmits)}
	if first.hung {
		t.Errorf("%v: a transfer hangs with the defaults", l)
	}
	if again := transfer(t, 0, l, all[0], *size); again != first {
		t.Errorf("%v: the same seed gave %+v, then %+v", l, first, again)
	}
	for _, s := range all[1:] {
		took, _, hung := median(t, l, s)
		cell := fmt.Sprintf("%.2f", took.Seconds()/base.Seconds())
		if hung > 0 {
			cell += fmt.Sprintf(" (%d)", hung)
		}
		cells = append(cells, cell)
	}
	return cells
}

// median makes the transfers of a cell; first is the one with seed 0.
func median(t *testing.T, l link, s setting) (took time.Duration, first outcome, hung int) {
	t.Helper()
	var all []time.Duration
	for seed := range *runs {
		o := transfer(t, uint64(seed), l, s, *size)
		if seed == 0 {
			first = o
		}
		if o.hung {
			hung++
			continue
		}
		all = append(all, o.took)
	}
	if len(all) == 0 {
		return 0, first, hung
	}
	slices.Sort(all)
	return all[len(all)/2], first, hung
}
