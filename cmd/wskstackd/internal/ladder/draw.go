package ladder

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/relay"
)

// rung is the number of columns between the two sides.
const rung = 74

// Draw writes the trace as a ladder, one line for each packet, indented by two
// spaces. client and server name the sides.
func (t Trace) Draw(w io.Writer, client, server string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "  %8s  %-*s  %8s\n", "ms", rung+2, client+strings.Repeat(" ", max(1, rung+2-len(client)-len(server)))+server, "ms")
	var base bases
	for _, p := range t.Packets {
		seq, ack := base.relative(p)
		b.WriteString(line(p, label(p, seq, ack)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line draws one packet: an arrow from its sender's side, with the time at each
// side that it was at.
func line(p Packet, label string) string {
	left, right := ms(p.AtClient), ms(p.AtServer)
	var arrow string
	switch {
	case p.Arrived && p.FromClient && p.Fate == relay.Made:
		left = ""
		arrow = pad("", label+" -->", ' ')
	case p.Arrived && p.FromClient:
		arrow = pad("-- "+label+" ", "->", '-')
	case p.Arrived:
		arrow = pad("<-", " "+label+" --", '-')
	case p.FromClient && p.Fate == relay.Dropped:
		arrow = pad("-- "+label+" ", " X dropped on the path ", '-')
	case p.FromClient && p.Fate == relay.Lost:
		right = ""
		arrow = pad("-- "+label+" ", " X no room on the path ", '-')
	case p.FromClient:
		right = ""
		arrow = pad("-- "+label+" ", "   still on its way ", '-')
	case p.Fate == relay.Dropped:
		left = ""
		arrow = pad(" dropped on the path X ", " "+label+" --", '-')
	case p.Fate == relay.Lost:
		left = ""
		arrow = pad(" no room on the path X ", " "+label+" --", '-')
	default:
		left = ""
		arrow = pad(" still on its way   ", " "+label+" --", '-')
	}
	return fmt.Sprintf("  %8s  |%s|  %8s\n", left, arrow, right)
}

// pad joins two texts with a filling to the width of a rung.
func pad(left, right string, fill byte) string {
	return left + strings.Repeat(string(fill), max(1, rung-len(left)-len(right))) + right
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }

// label says what a packet is: flags, numbers, length, Fast Open option.
func label(p Packet, seq, ack uint32) string {
	s := p.Segment
	parts := []string{flagNames(s.Flags()), fmt.Sprintf("seq %d", seq)}
	if s.Flags().Has(seg.ACK) {
		parts = append(parts, fmt.Sprintf("ack %d", ack))
	}
	if n := len(s.Payload()); n > 0 {
		parts = append(parts, fmt.Sprintf("len %d", n))
	}
	if o, ok := tfo.ParseOption(s); ok {
		parts = append(parts, optionName(o))
	}
	return strings.Join(parts, ", ")
}

func optionName(o tfo.Option) string {
	if o.Cookie.Empty() {
		return "cookie request"
	}
	return "cookie " + o.Cookie.String()
}

// flagNames spells the control bits out, those first that say what the segment
// is for.
func flagNames(f seg.Flags) string {
	var names []string
	for _, bit := range []struct {
		flag seg.Flags
		name string
	}{
		{seg.SYN, "SYN"}, {seg.FIN, "FIN"}, {seg.RST, "RST"}, {seg.PSH, "PSH"},
		{seg.URG, "URG"}, {seg.ECE, "ECE"}, {seg.CWR, "CWR"}, {seg.ACK, "ACK"},
	} {
		if f.Has(bit.flag) {
			names = append(names, bit.name)
		}
	}
	if len(names) == 0 {
		return "no flags"
	}
	return strings.Join(names, "-")
}
