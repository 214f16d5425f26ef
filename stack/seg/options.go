package seg

import (
	"encoding/binary"
	"iter"
)

// Kinds of TCP options (RFC 9293 §3.2, RFC 7323, RFC 2018).
const (
	OptEnd      = 0
	OptNOP      = 1
	OptMSS      = 2
	OptWScale   = 3
	OptSACKPerm = 4
	OptSACK     = 5
	OptTS       = 8
)

// MaxOptionBytes is the room for options in a TCP header.
const MaxOptionBytes = 40

// Options goes through the options: kind and body, without kind and length
// bytes. It stops at the end-of-options kind and at the first option whose
// length is impossible; what stands before that is used, as netstack and Linux
// do. The bodies share the packet's memory.
func (s Segment) Options() iter.Seq2[uint8, []byte] {
	return walkOptions(s.OptionBytes())
}

func walkOptions(b []byte) iter.Seq2[uint8, []byte] {
	return func(yield func(uint8, []byte) bool) {
		for len(b) > 0 && b[0] != OptEnd {
			if b[0] == OptNOP {
				b = b[1:]
				continue
			}
			if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
				return
			}
			if !yield(b[0], b[2:b[1]]) {
				return
			}
			b = b[b[1]:]
		}
	}
}

// MSS is the MSS option's value and whether there is a usable one. Where it
// stands more than once the last one counts, as in netstack.
func (s Segment) MSS() (mss uint16, ok bool) {
	for kind, body := range s.Options() {
		if kind == OptMSS && len(body) == 2 {
			mss, ok = binary.BigEndian.Uint16(body), true
		}
	}
	return mss, ok
}

// MaxWScale is the largest window shift (RFC 7323 §2.3).
const MaxWScale = 14

// WScale is the window scale option's shift count, at most MaxWScale, and
// whether there is one.
func (s Segment) WScale() (shift uint8, ok bool) {
	for kind, body := range s.Options() {
		if kind == OptWScale && len(body) == 1 {
			shift, ok = min(body[0], MaxWScale), true
		}
	}
	return shift, ok
}

// Timestamps is the timestamp option (RFC 7323 §3) and whether there is one.
func (s Segment) Timestamps() (val, ecr uint32, ok bool) {
	for kind, body := range s.Options() {
		if kind == OptTS && len(body) == 8 {
			return binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:]), true
		}
	}
	return 0, 0, false
}

// TimestampOption encodes NOP NOP TS, the form of every segment that is no SYN.
func TimestampOption(val, ecr uint32) []byte {
	b := []byte{OptNOP, OptNOP, OptTS, 10}
	b = binary.BigEndian.AppendUint32(b, val)
	return binary.BigEndian.AppendUint32(b, ecr)
}

// OptionRoom is how many of the 40 option bytes are not taken.
func (s Segment) OptionRoom() int { return MaxOptionBytes - (s.pay - s.tcp - minTCP) }
