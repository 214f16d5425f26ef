package verifier

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/wskstack/wskstack/wsk"
)

// Network returns n with the faults that are a transport's: ShortIO and FastOpen.
// Without these it returns n. Datagrams pass as they are.
func (v *Verifier) Network(n wsk.Network) wsk.Network {
	if n == nil || !v.cfg.Faults.ShortIO && !v.cfg.Faults.FastOpen {
		return n
	}
	return &faultyNetwork{Network: n, v: v}
}

// faultyNetwork makes transports that move less than they could.
type faultyNetwork struct {
	wsk.Network
	v    *Verifier
	made atomic.Uint64
}

// Unwrap lets wsk use what else the network can do.
func (f *faultyNetwork) Unwrap() any { return f.Network }

// NewTransport implements wsk.Network.
func (f *faultyNetwork) NewTransport(v6 bool) (wsk.Transport, error) {
	t, err := f.Network.NewTransport(v6)
	if err != nil {
		return nil, err
	}
	return f.wrap(t), nil
}

func (f *faultyNetwork) wrap(t wsk.Transport) wsk.Transport {
	return &faultyTransport{Transport: t, network: f, number: f.made.Add(1)}
}

// faultyTransport is called with its socket's lock held, which guards its fields.
type faultyTransport struct {
	wsk.Transport
	network *faultyNetwork
	number  uint64
	wake    func()
	moves   uint64 // reads and writes so far
	paused  bool   // the last one was told to come again
	rest    []byte // of the connect's data, to be written after the handshake
}

// Unwrap lets wsk use what else the transport can do.
func (t *faultyTransport) Unwrap() any { return t.Transport }

// SetWake implements wsk.Transport.
func (t *faultyTransport) SetWake(wake func()) {
	t.wake = wake
	t.Transport.SetWake(wake)
}

// Accept implements wsk.Transport.
func (t *faultyTransport) Accept() (wsk.Transport, error) {
	a, err := t.Transport.Accept()
	if err != nil {
		return nil, err
	}
	return t.network.wrap(a), nil
}

// Connect implements wsk.Transport: as it is, or with a part of the data in the SYN,
// or without Fast Open, as if there were no cookie.
func (t *faultyTransport) Connect(remote netip.AddrPort, opts wsk.ConnectOptions) error {
	t.rest = nil
	v := t.network.v
	if v.cfg.Faults.FastOpen {
		switch v.decide(pointConnect, t.number) % 3 {
		case 1:
			opts.FastOpen = false
		case 2:
			keep := int(v.decide(pointPart, t.number) % uint64(len(opts.Data)+1))
			opts.Data, t.rest = opts.Data[:keep], opts.Data[keep:]
		}
	}
	return t.Transport.Connect(remote, opts)
}

// Connected implements wsk.Transport: the connect is not done before the rest of its
// data is handed down.
func (t *faultyTransport) Connected() (wsk.Progress, error) {
	p, err := t.Transport.Connected()
	if err != nil || p != wsk.ProgressDone {
		return p, err
	}
	for len(t.rest) > 0 {
		n, err := t.Transport.Write([][]byte{t.rest})
		t.rest = t.rest[n:]
		switch {
		case errors.Is(err, syscall.EAGAIN), err == nil && n == 0:
			return wsk.ProgressEstablished, nil
		case err != nil:
			return wsk.ProgressEstablished, err
		}
	}
	return wsk.ProgressDone, nil
}

// Read implements wsk.Transport. It is told to come again only if there is data, so
// that it never hides an end of the stream.
func (t *faultyTransport) Read(dst [][]byte) (int, error) {
	dst, now := t.less(pointRead, dst, t.Transport.Readable() > 0)
	if !now {
		return 0, syscall.EAGAIN
	}
	return t.Transport.Read(dst)
}

// Write implements wsk.Transport.
func (t *faultyTransport) Write(src [][]byte) (int, error) {
	src, now := t.less(pointWrite, src, true)
	if !now {
		return 0, syscall.EAGAIN
	}
	return t.Transport.Write(src)
}

// few is how many bytes a move of a few has at most.
const few = 16

// less cuts a move down, or puts it off: then somebody has to come again.
func (t *faultyTransport) less(at point, v [][]byte, mayWait bool) (cut [][]byte, now bool) {
	if !t.network.v.cfg.Faults.ShortIO {
		return v, true
	}
	t.moves++
	choice := t.network.v.decide(at, t.number, t.moves)
	switch choice % 4 {
	case 0:
		if mayWait && !t.paused {
			t.paused = true
			t.wake()
			return nil, false
		}
	case 1:
		v = first(v, 1)
	case 2:
		v = first(v, 1+int(choice>>8)%few)
	}
	t.paused = false
	return v, true
}

// first returns the first n bytes of v.
func first(v [][]byte, n int) [][]byte {
	var out [][]byte
	for _, s := range v {
		if n == 0 {
			break
		}
		s = s[:min(n, len(s))]
		n -= len(s)
		out = append(out, s)
	}
	return out
}
