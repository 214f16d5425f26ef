package relay_test

import (
	"testing"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/relay"
)

var (
	mss    = []byte{seg.OptMSS, 4, 5, 180}
	cookie = []byte{34, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	exp    = []byte{254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8}
	other  = []byte{254, 4, 0x12, 0x34}
)

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Each row: packets sent down through a filter, and what reaches the wire.
func TestMiddleboxes(t *testing.T) {
	syn := tcp(seg.SYN, mss, "")
	synData := tcp(seg.SYN, join(mss, cookie), "get")
	synAck := tcp(seg.SYN|seg.ACK, join(mss, cookie), "")
	rst := tcp(seg.RST, nil, "")
	for name, c := range map[string]struct {
		filter relay.Filter
		in     [][]byte
		want   string
	}{
		"drop SYNs with data": {
			relay.On(relay.SYNWithData, relay.Drop),
			[][]byte{syn, synData, data("x")},
			"S 2, PA x",
		},
		"drop SYNs with the option": {
			relay.On(relay.FastOpen, relay.Drop),
			[][]byte{syn, synData, tcp(seg.SYN, exp, ""), tcp(seg.SYN, other, "")},
			"S 2, S 254",
		},
		"strip the option, both kinds": {
			relay.StripFastOpen,
			[][]byte{syn, synData, synAck, tcp(seg.SYN, join(exp, mss, other), "y")},
			"S 2, S 2 get, SA 2, S 2 254 y",
		},
		"strip from SYN-ACKs only": {
			relay.On(relay.SYNACK, relay.StripFastOpen),
			[][]byte{synData, synAck},
			"S 2 34 get, SA 2",
		},
		"strip beside a broken option": {
			relay.StripFastOpen,
			[][]byte{tcp(seg.SYN, join(cookie, []byte{99, 77}), "")},
			"S",
		},
		"strip the data": {
			relay.On(relay.SYN, relay.StripData),
			[][]byte{syn, synData, data("x")},
			"S 2, S 2 34, PA x",
		},
		"answer RST": {
			relay.Reset,
			[][]byte{synData, rst, []byte("no TCP")},
			"no TCP",
		},
		"drop the 2nd and 3rd": {
			relay.Nth(relay.Data, relay.Drop, 2, 3),
			[][]byte{data("1"), syn, data("2"), data("3"), data("4")},
			"PA 1, S 2, PA 4",
		},
		"duplicate the first": {
			relay.Nth(relay.Any, relay.Duplicate, 1),
			[][]byte{data("1"), data("2")},
			"PA 1, PA 1, PA 2",
		},
		"chain": {
			relay.Chain(relay.On(relay.SYNACK, relay.Drop), relay.On(relay.SYN, relay.StripFastOpen)),
			[][]byte{synAck, synData, data("x")},
			"S 2 get, PA x",
		},
		"replace by rubbish": {
			func(relay.Packet) relay.Verdict { return relay.Replace([]byte{0xff}, nil, data("good")) },
			[][]byte{data("x")},
			"PA good",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, relay.Config{DownFilter: c.filter})
			r.send(c.in...)
			r.clock.Advance(0)
			r.want("on the wire", r.onWire(), c.want)
		})
	}
}

// Filters take any bytes: there is always a packet in, and never a panic.
func FuzzMiddleboxes(f *testing.F) {
	f.Add(tcp(seg.SYN, join(mss, cookie), "get"))
	f.Add(tcp(seg.SYN, join(exp, []byte{34, 0}), "get"))
	f.Add([]byte{0x45})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := seg.Parse(b)
		p := relay.Packet{Bytes: b}
		if err == nil {
			p.Segment = s
		}
		v := relay.StripFastOpen(p)
		for _, out := range v.Extra {
			stripped, err := seg.Parse(out)
			if err != nil {
				t.Fatalf("stripping made no segment: %v", err)
			}
			if relay.FastOpen(relay.Packet{Bytes: out, Segment: stripped}) {
				t.Fatal("the option is still there")
			}
			if len(out) != len(s.Bytes()) {
				t.Fatalf("%d bytes became %d", len(s.Bytes()), len(out))
			}
		}
		relay.Reset(p)
		relay.StripData(p)
		relay.Duplicate(p)
	})
}
