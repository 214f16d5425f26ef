package scenario

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wskstack/wskstack/wsk"
	"github.com/wskstack/wskstack/wsk/wsktest"
)

// benchScenario is a connection's life, with an echo of 100,000 bytes.
const benchScenario = "connect-send-receive.yaml"

// BenchmarkParse reads a scenario's file.
func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile("builtin/" + benchScenario)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(benchScenario, text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRun runs a scenario, provider, verifier and report included, over a model
// whose far end echoes.
func BenchmarkRun(b *testing.B) {
	text, err := os.ReadFile("builtin/" + benchScenario)
	if err != nil {
		b.Fatal(err)
	}
	s, err := Parse(benchScenario, text)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := s.Run(b.Context(), echoWorld(), s.Knobs); !r.OK || r.Skipped != "" {
			b.Fatal(r.Skipped, strings.Join(r.Failures, "\n"))
		}
	}
}

// echoWorld is a world of wsktest's peers, which accept and send back at once.
func echoWorld() World {
	began, at := time.Now(), netip.MustParseAddrPort("192.0.2.1:7")
	return World{
		Name: "model", Service: at, PeerAddr: at.Addr(), Local: netip.MustParseAddr("192.0.2.2"), Nowhere: netip.MustParseAddr("192.0.2.99"),
		Network: wsktest.Network(func(bool) (wsk.Transport, error) { return echoPeer().Transport, nil }),
		Now:     func() time.Duration { return time.Since(began) },
		Sleep:   func(time.Duration) {},
	}
}

func echoPeer() *wsktest.Peer {
	p := wsktest.NewPeer()
	connect, write, closeWrite := p.Transport.ConnectFunc, p.Transport.WriteFunc, p.Transport.CloseWriteFunc
	p.Transport.ConnectFunc = func(remote netip.AddrPort, opts wsk.ConnectOptions) error {
		defer p.Accept()
		return connect(remote, opts)
	}
	p.Transport.WriteFunc = func(src [][]byte) (int, error) {
		n, err := write(src)
		left := n
		for _, s := range src {
			s = s[:min(len(s), left)]
			p.Deliver(s)
			left -= len(s)
		}
		p.AckAll()
		return n, err
	}
	p.Transport.CloseWriteFunc = func() error {
		defer p.AckAll()
		defer p.FIN()
		return closeWrite()
	}
	return p
}
