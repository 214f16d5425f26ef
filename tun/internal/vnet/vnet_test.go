package vnet

import (
	"encoding/binary"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// raw builds a header field by field.
func raw(flags, gso byte, hdrLen, gsoSize, start, offset uint16) []byte {
	h := make([]byte, Size)
	h[0], h[1] = flags, gso
	for i, v := range []uint16{hdrLen, gsoSize, start, offset} {
		binary.NativeEndian.PutUint16(h[2+2*i:], v)
	}
	return h
}

func TestDecode(t *testing.T) {
	const v4, v6 = 0x45, 0x60
	partial := frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 16}
	tso := partial
	tso.GSO, tso.GSOSize, tso.HdrLen = frame.GSOTCPv4, 1448, 52
	for name, c := range map[string]struct {
		h     []byte
		first byte
		size  int
		want  frame.Offload
		err   error
	}{
		"plain":                       {h: raw(0, 0, 0, 0, 0, 0), first: v4, size: 40},
		"plain, stale fields":         {h: raw(0, 0, 66, 1448, 20, 16), first: v4, size: 40},
		"valid":                       {h: raw(2, 0, 0, 0, 0, 0), first: v4, size: 40, want: frame.Offload{Checksum: frame.ChecksumValid}},
		"partial":                     {h: raw(1, 0, 0, 0, 20, 16), first: v4, size: 40, want: partial},
		"partial wins over valid":     {h: raw(3, 0, 0, 0, 20, 16), first: v4, size: 40, want: partial},
		"partial, field at the end":   {h: raw(1, 0, 0, 0, 20, 18), first: v4, size: 40, want: frame.Offload{Checksum: frame.ChecksumPartial, CsumStart: 20, CsumOffset: 18}},
		"partial, field past the end": {h: raw(1, 0, 0, 0, 20, 19), first: v4, size: 40, err: ErrChecksum},
		"csum_start past the end":     {h: raw(1, 0, 0, 0, 65535, 65535), first: v4, size: 40, err: ErrChecksum},
		"csum_start in the header":    {h: raw(1, 0, 0, 0, 19, 16), first: v4, size: 60, err: ErrChecksum},
		"csum_start in a v6 header":   {h: raw(1, 0, 0, 0, 39, 16), first: v6, size: 80, err: ErrChecksum},
		"tso4":                        {h: raw(1, 1, 52, 1448, 20, 16), first: v4, size: 9000, want: tso},
		"tso4 with ECN":               {h: raw(1, 0x81, 52, 1448, 20, 16), first: v4, size: 9000, err: ErrKind},
		"tso4 on a v6 packet":         {h: raw(1, 1, 52, 1448, 40, 16), first: v6, size: 9000, err: ErrVersion},
		"tso6 on a v4 packet":         {h: raw(1, 4, 52, 1448, 20, 16), first: v4, size: 9000, err: ErrVersion},
		"gso_size 0":                  {h: raw(1, 1, 52, 0, 20, 16), first: v4, size: 9000, err: ErrSize},
		"hdr_len too long":            {h: raw(1, 1, 9001, 1448, 20, 16), first: v4, size: 9000, err: ErrHeader},
		"tso without a partial sum":   {h: raw(0, 1, 52, 1448, 20, 16), first: v4, size: 9000, err: ErrFinished},
		"tso with a valid sum":        {h: raw(2, 1, 52, 1448, 20, 16), first: v4, size: 9000, err: ErrFinished},
		"UFO, which is no more":       {h: raw(1, 3, 28, 1448, 20, 6), first: v4, size: 9000, err: ErrKind},
		"a kind of the future":        {h: raw(1, 6, 28, 1448, 20, 6), first: v4, size: 9000, err: ErrKind},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(c.h, c.first, c.size)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
		})
	}
}

// FuzzDecode: what is accepted lies inside the packet and survives a round trip.
func FuzzDecode(f *testing.F) {
	f.Add(raw(1, 1, 52, 1448, 20, 16), byte(0x45), 9000)
	f.Add(raw(1, 4, 72, 1428, 40, 16), byte(0x60), 64000)
	f.Add(raw(1, 5, 28, 1472, 20, 6), byte(0x45), 30000)
	f.Add(raw(2, 0, 0, 0, 0, 0), byte(0x45), 40)
	f.Add(raw(0, 0, 0, 0, 0, 0), byte(0), 0)
	f.Fuzz(func(t *testing.T, h []byte, first byte, size int) {
		if len(h) < Size || size < 0 || size > 1<<17 {
			return
		}
		o, err := Decode(h, first, size)
		if err != nil {
			if o != (frame.Offload{}) {
				t.Errorf("facts in spite of %v: %+v", err, o)
			}
			return
		}
		if o.Checksum == frame.ChecksumPartial && int(o.CsumStart)+int(o.CsumOffset)+2 > size {
			t.Errorf("the sum lies outside the %d bytes: %+v", size, o)
		}
		if o.GSO != frame.GSONone && (o.GSOSize == 0 || int(o.HdrLen) > size) {
			t.Errorf("cannot be cut: %+v of %d bytes", o, size)
		}
		var again [Size]byte
		Encode(again[:], o)
		if back, err := Decode(again[:], first, size); err != nil || back != o {
			t.Errorf("%+v came back as %+v, %v", o, back, err)
		}
	})
}
