package explain

import (
	"bytes"
	"fmt"
	"strings"

	"gvisor.dev/gvisor/pkg/tcpip/seqnum"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
)

// follows reports whether after is what became of before, and not something else that
// was made at the same time.
func follows(before, after seg.Segment) bool {
	return before.Valid() && before.Src() == after.Src() && before.Dst() == after.Dst() &&
		before.Flags()&(seg.SYN|seg.RST) == after.Flags()&(seg.SYN|seg.RST)
}

// words names a segment.
func words(s seg.Segment) string {
	if !s.Valid() {
		return "packet"
	}
	name := s.Flags().String()
	if n := len(s.Payload()); n > 0 {
		name += fmt.Sprintf(" with %d bytes", n)
	}
	return name
}

// changes says what is different; "" if nothing is.
func changes(before, after seg.Segment) string {
	var parts []string
	say := func(text string) {
		if text != "" {
			parts = append(parts, text)
		}
	}
	say(option(before, after))
	trimmed, text := data(before, after)
	say(text)
	if !trimmed {
		say(moved("seq", before.Seq(), after.Seq()))
	}
	if f, g := before.Flags(), after.Flags(); f != g {
		say(fmt.Sprintf("flags %v made %v", f, g))
	}
	if before.Flags().Has(seg.ACK) && after.Flags().Has(seg.ACK) {
		say(moved("ack", before.Ack(), after.Ack()))
	}
	if d := int(after.Window()) - int(before.Window()); d != 0 {
		say("window " + by(d))
	}
	val, ecr, _ := before.Timestamps()
	val2, ecr2, _ := after.Timestamps()
	if val != val2 || ecr != ecr2 {
		say("timestamps changed")
	}
	return strings.Join(parts, "; ")
}

// option says what happened to the Fast Open option.
func option(before, after seg.Segment) string {
	b, had := tfo.ParseOption(before)
	a, has := tfo.ParseOption(after)
	switch {
	case has && had && a != b:
		return "option changed (" + cookie(a) + ")"
	case has && !had:
		return "option added (" + cookie(a) + ")"
	case had && !has:
		return "option taken off (" + cookie(b) + ")"
	}
	return ""
}

func cookie(o tfo.Option) string {
	if o.Cookie.Empty() {
		return "asks for a cookie"
	}
	return fmt.Sprintf("cookie of %d bytes", len(o.Cookie.Bytes()))
}

// data says what happened to the payload, and whether bytes were cut off its front.
func data(before, after seg.Segment) (trimmed bool, text string) {
	b, a := before.Payload(), after.Payload()
	switch {
	case len(a) > 0 && len(b) == 0:
		return false, fmt.Sprintf("%d bytes of data put in", len(a))
	case len(a) == 0 && len(b) > 0:
		return false, fmt.Sprintf("its %d bytes of data taken off", len(b))
	case len(a) < len(b) && before.Seq().Add(seqnum.Size(len(b)-len(a))) == after.Seq():
		return true, fmt.Sprintf("the first %d of %d bytes trimmed", len(b)-len(a), len(b))
	case len(a) != len(b):
		return false, fmt.Sprintf("%d bytes of data in place of %d", len(a), len(b))
	case !bytes.Equal(a, b):
		return false, "data changed"
	}
	return false, ""
}

// moved says how far a sequence number was moved.
func moved(name string, before, after seqnum.Value) string {
	if before == after {
		return ""
	}
	return name + " " + by(int(int32(after-before)))
}

func by(d int) string {
	if d < 0 {
		return fmt.Sprintf("lowered by %d", -d)
	}
	return fmt.Sprintf("raised by %d", d)
}
