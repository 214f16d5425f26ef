package stacktest

import (
	"encoding/binary"
	"sync"
)

// mix is a step of splitmix64 (Steele, Lea and Flood 2014): a bijection whose
// outputs for consecutive inputs are unrelated.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// digest is FNV-1a with eight bytes at a step and a final mix: it need not
// withstand anybody, only be the same everywhere.
func digest(h uint64, b []byte) uint64 {
	const prime = 0x100000001b3
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.LittleEndian.Uint64(b)) * prime
		h ^= h >> 29
	}
	for _, c := range b {
		h = (h ^ uint64(c)) * prime
	}
	return mix(h)
}

func digestText(s string) uint64 { return digest(0xcbf29ce484222325, []byte(s)) }

// source is a random source for netstack: as an io.Reader where secrets come
// from, as a math/rand Source for the rest. It is safe for concurrent use.
type source struct {
	mu    sync.Mutex
	state uint64 // guarded by mu
}

func newSource(seed uint64) *source { return &source{state: mix(seed)} }

// Uint64 implements rand.Source64.
func (s *source) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state += 0x9e3779b97f4a7c15
	return mix(s.state)
}

// Int63 implements rand.Source.
func (s *source) Int63() int64 { return int64(s.Uint64() >> 1) }

// Seed implements rand.Source.
func (s *source) Seed(seed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = mix(uint64(seed))
}

// Read implements io.Reader; it never fails.
func (s *source) Read(p []byte) (int, error) {
	var word [8]byte
	for at := 0; at < len(p); at += len(word) {
		binary.LittleEndian.PutUint64(word[:], s.Uint64())
		copy(p[at:], word[:])
	}
	return len(p), nil
}

// draws are the random numbers of one packet.
type draws struct{ state uint64 }

func (d *draws) next() uint64 {
	d.state += 0x9e3779b97f4a7c15
	return mix(d.state)
}

// chance is true with probability p.
func (d *draws) chance(p float64) bool {
	// A number is taken even for p = 0, so that switching one fault on does not
	// change what the others do.
	x := d.next() >> 11
	return p > 0 && float64(x) < p*(1<<53)
}

// below is a number from 0 to n-1; 0 if n is 0 or less.
func (d *draws) below(n int64) int64 {
	x := d.next()
	if n <= 0 {
		return 0
	}
	return int64(x % uint64(n))
}
