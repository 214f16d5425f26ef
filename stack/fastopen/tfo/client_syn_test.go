package tfo

import (
	"testing"

	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/covers"
)

const foEight = "fo=0102030405060708"

func TestRequest(t *testing.T) {
	covers.IDs(t, "C-01", "B-02")
	r := newRig(t, request, "hello")
	out := r.fromStack(r.syn(), "S 0 fo=", "")
	if n := len(out.ToWire[0].OptionBytes()); n != 24 {
		t.Errorf("%d bytes of options, want 20 and the padded request's 4", n)
	}
	r.outcome(0, 0, ReasonNoCookie)
}

func TestOffSendsNothingOfOurs(t *testing.T) {
	covers.IDs(t, "C-03", "B-05")
	r := newRig(t, NewCache(0).Plan(0, Path{Local: local4.Addr(), Remote: remote4.Addr(), Port: 80}, ModeOff), "hello")
	r.fromStack(r.syn(), "=", "")
	r.fromWire(r.synack(1), "", "=")
	r.fromStack(r.bare(1, 1), "=", "")
	r.fromStack(r.data(1, "hello"), "=", "")
	r.state(Done)
	if r.c.Outcome().Wanted {
		t.Error("Fast Open is wanted although it is off")
	}
}

func TestCookieAndData(t *testing.T) {
	covers.IDs(t, "C-04", "C-13", "B-02", "B-03")
	r := newRig(t, known(1460), text(1000))
	out := r.fromStack(r.syn(), "S 0:1000 "+foEight, "")
	s := out.ToWire[0]
	if s.Flags() != seg.SYN {
		t.Errorf("flags %v, want SYN alone", s.Flags())
	}
	if string(s.Payload()) != text(1000) {
		t.Error("the SYN carries other bytes")
	}
	var kinds []uint8
	for kind := range s.Options() {
		kinds = append(kinds, kind)
	}
	want := []uint8{seg.OptMSS, seg.OptSACKPerm, seg.OptTS, seg.OptWScale, uint8(KindFO)}
	if len(s.OptionBytes()) != 32 || string(kinds) != string(want) {
		t.Errorf("options %v in %d bytes, want %v in 32", kinds, len(s.OptionBytes()), want)
	}
	if !s.Verify() {
		t.Error("checksums are wrong")
	}
}

func TestPayloadLimit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mss    uint16 // cached
		own    uint16 // advertised, 0: the MTU's
		limits Limits
		v6     bool
		action Action
		want   int
	}{
		{name: "C-05 whole segment", mss: 1460, limits: Limits{MTU: 1500}, want: 1420},
		{name: "C-06 small cached MSS", mss: 940, limits: Limits{MTU: 1500}, want: 900},
		{name: "C-07 user MSS", mss: 1460, own: 1040, limits: Limits{MTU: 1500}, want: 1000},
		{name: "C-08 cached MSS beyond the MTU", mss: 10000, limits: Limits{MTU: 1500}, want: 1420},
		{name: "C-09 MSS not known", limits: Limits{MTU: 1500}, want: 536},
		{name: "C-09 MSS not known, IPv6", limits: Limits{MTU: 1500}, v6: true, want: 1220},
		{name: "C-10 IPv6", mss: 1440, limits: Limits{MTU: 1500}, v6: true, want: 1400},
		{name: "C-63 jumbo", mss: 8960, limits: Limits{MTU: 9000}, want: 1420},
		{name: "C-63 jumbo, IPv6", mss: 8940, limits: Limits{MTU: 9000}, v6: true, want: 1400},
		{name: "C-63 jumbo, configured", mss: 8960, limits: Limits{MTU: 9000, MaxSegment: 8960}, want: 8920},
		{name: "PPPoE", mss: 1460, limits: Limits{MTU: 1492}, want: 1412},
		{name: "smallest IPv6", mss: 1440, limits: Limits{MTU: 1280}, v6: true, want: 1180},
		{name: "MTU 576", mss: 1460, limits: Limits{MTU: 576}, want: 496},
		{name: "C-52 without a cookie", mss: 1460, limits: Limits{MTU: 1500}, action: SendBare, want: 1420},
	} {
		t.Run(tt.name, func(t *testing.T) {
			covers.IDs(t, "C-05", "C-06", "C-07", "C-08", "C-09", "C-10", "C-52", "C-63", "H-31")
			plan := known(tt.mss)
			if tt.action != SendPlain {
				plan = Plan{Action: tt.action, MSS: tt.mss}
			}
			r := newRigFor(t, plan, text(9000), tt.limits, tt.v6)
			if tt.own != 0 {
				r.synOptions = stackOptions(tt.own)
			}
			out := r.c.FromStack(0, r.syn())
			s := out.ToWire[0]
			r.sound(s)
			if len(s.Payload()) != tt.want {
				t.Errorf("%d bytes in the SYN, want %d", len(s.Payload()), tt.want)
			}
			if len(s.Bytes()) > tt.limits.MTU {
				t.Errorf("a SYN of %d bytes on an MTU of %d", len(s.Bytes()), tt.limits.MTU)
			}
			if mss, _ := s.MSS(); tt.own != 0 && mss != tt.own {
				t.Errorf("the SYN advertises MSS %d, want %d", mss, tt.own)
			}
			if r.c.Outcome().BytesInSYN != tt.want {
				t.Errorf("outcome says %d bytes", r.c.Outcome().BytesInSYN)
			}
		})
	}
}

func TestNoRoomForData(t *testing.T) {
	r := newRigFor(t, known(40), "hello", Limits{MTU: 1500}, false)
	r.fromStack(r.syn(), "S 0 "+foEight, "")
	r.outcome(0, 0, ReasonNoPayloadRoom)
}

func TestEmptyPayload(t *testing.T) {
	covers.IDs(t, "C-11")
	r := newRig(t, known(1460), "")
	r.fromStack(r.syn(), "S 0 "+foEight, "")
	r.fromWire(r.synack(1), "", "SA 0 ack 1")
	r.state(Done)
	r.fromStack(r.bare(1, 1), "=", "")
	r.lesson(VerdictNone)
	r.outcome(0, 0, ReasonNoPayload)
}

func TestNoOptionRoom(t *testing.T) {
	covers.IDs(t, "C-12")
	for _, tt := range []struct {
		name  string
		plan  Plan
		taken int // bytes of options before ours
		want  string
	}{
		{"cookie of 8 beside 28 bytes", known(1460), 28, "S 0:5 " + foEight},
		{"cookie of 8 beside 32 bytes", known(1460), 32, "="},
		{"request beside 36 bytes", request, 36, "S 0 fo="},
		{"request beside 40 bytes", request, 40, "="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.plan, "hello")
			r.synOptions = append(stackOptions(1460), make([]byte, tt.taken-20)...)
			for i := 20; i < tt.taken; i++ {
				r.synOptions[i] = seg.OptNOP
			}
			r.fromStack(r.syn(), tt.want, "")
			if tt.want == "=" {
				r.outcome(0, 0, ReasonNoOptionRoom)
				r.state(Done)
			}
		})
	}
}

func TestOptionBehindEnd(t *testing.T) {
	// An option behind the end-of-options kind would never be seen.
	r := newRig(t, known(1460), "hello")
	r.synOptions = []byte{seg.OptMSS, 4, 5, 180, seg.OptEnd, 0, 0, 0}
	r.fromStack(r.syn(), "S 0:5 "+foEight, "")
}

func TestCookieSizes(t *testing.T) {
	for _, tt := range []struct{ name, cookie, want string }{
		{"C-14 sixteen bytes", eight + eight, "fo=01020304050607080102030405060708"},
		{"C-15 four zeros", "\x00\x00\x00\x00", "fo=00000000"},
		{"six bytes", "\x01\x02\x03\x04\x05\x06", "fo=010203040506"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			covers.IDs(t, "C-14", "C-15")
			cache, path := NewCache(0), Path{Local: local4.Addr(), Remote: remote4.Addr(), Port: 80}
			r := newRig(t, cache.Plan(0, path, ModeOn), "hello")
			r.fromStack(r.syn(), "S 0 fo=", "")
			r.fromWire(r.synack(1, fo(KindFO, tt.cookie)...), "", "SA 0 ack 1 "+tt.want)
			cache.Learn(0, path, r.lesson(VerdictGranted))

			r = newRig(t, cache.Plan(0, path, ModeOn), "hello")
			out := r.fromStack(r.syn(), "S 0:5 "+tt.want, "")
			if n := len(out.ToWire[0].OptionBytes()); n > 40 {
				t.Errorf("%d bytes of options", n)
			}
		})
	}
}

func TestECNBitsPass(t *testing.T) {
	covers.IDs(t, "C-62")
	r := newRig(t, known(1460), "hello")
	out := r.fromStack(r.down(seg.SYN|seg.ECE|seg.CWR, 0, 0, ""), "SEC 0:5 "+foEight, "")
	if tos := out.ToWire[0].Bytes()[1]; tos&3 != 0 {
		t.Errorf("the IP ECN field of a SYN is %d, want 0", tos&3)
	}
	r = newRig(t, known(1460), "hello")
	r.fromStack(r.syn(), "S 0:5 "+foEight, "")
	r.fromWire(r.up(seg.SYN|seg.ACK|seg.ECE, 0, 6, ""), "", "SAE 0 ack 1")
}

func TestPartialChecksum(t *testing.T) {
	covers.IDs(t, "H-28")
	for _, sum := range []seg.Sum{seg.SumPartial, seg.SumNone} {
		r := newRig(t, known(1460), "hello")
		out := r.fromStack(r.syn().WithSum(sum), "S 0:5 "+foEight, "")
		s := out.ToWire[0]
		if s.Sum() != sum {
			t.Fatalf("sum form %d became %d", sum, s.Sum())
		}
		if done := s.Clone().Complete(); !done.Verify() {
			t.Error("the completed sum is wrong")
		}
		if sum == seg.SumPartial {
			// What a device does with a partial sum: add the segment to it.
			want := s.Clone().Complete()
			if deviceSum(s) != deviceField(want) {
				t.Error("a device would not arrive at the right sum")
			}
		}
	}
}
