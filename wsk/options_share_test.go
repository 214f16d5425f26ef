package wsk

import "testing"

// TestOptionsAreShared: sockets that have set the same share the memory of it, and a
// client that sets ever new values does not fill the provider's.
func TestOptionsAreShared(t *testing.T) {
	p := NewProvider()
	o := defaultOptions(AF_INET, SOCK_STREAM)
	first := p.share(o)
	o.noDelay = true
	if own := p.share(o); own == first || !own.noDelay || first.noDelay {
		t.Errorf("what one socket sets another has: %+v, %+v", own, first)
	}
	for ttl := 1; ttl <= 2*maxShared; ttl++ {
		o.ttl = ttl
		if got := p.share(o); *got != o {
			t.Fatalf("%+v became %+v", o, *got)
		}
	}
	if n := len(p.shared); n > maxShared {
		t.Errorf("%d sets of options are remembered, at most %d should be", n, maxShared)
	}
	if p.share(defaultOptions(AF_INET, SOCK_STREAM)) != first {
		t.Error("equal options are not shared")
	}
}
