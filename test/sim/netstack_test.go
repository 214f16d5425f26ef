package sim

import (
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/fastopen"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/stack/stacktest"
)

// A fact about netstack that programs on it have to know, and that scenarios here
// keep clear of (lastWord): a connection that was closed, not just shut down for
// writing, is reset when the peer's FIN gets lost and an ACK comes in its place. The
// end of the answer is lost with it; the client is told by an error. Read to the end
// of file before Close. When this test fails netstack has become better.
func TestNetstackResetsWhatWasClosedBeforeTheFIN(t *testing.T) {
	for name, waits := range map[string]bool{"close": false, "read to the end, then close": true} {
		t.Run(name, func(t *testing.T) {
			run(t, 1, func(w *world) {
				down := pattern(20000)
				w.serve(nil, func(w *world, c *stacktest.Conn, a *arrival) {
					a.got = make([]byte, 10)
					if _, a.err = readFull(c, a.got); a.err == nil {
						_, a.err = c.Write(down)
					}
					if a.err == nil && waits {
						a.err = lastWord(c)
					}
					_ = c.Close()
				})
				isFIN := func(p stacktest.Packet) bool {
					return p.Direction == stacktest.Out && p.Segment.Valid() && p.Segment.Flags().Has(seg.FIN)
				}
				w.client.Line().SetBoxes(stacktest.Nth(isFIN, stacktest.Drop, 1))
				c, err := w.client.Dial(w.serverAddr(), stack.ConnectOptions{Data: pattern(10), FastOpen: fastopen.ModeOff})
				if err != nil {
					w.t.Fatal(err)
				}
				if err := c.CloseWrite(); err != nil {
					w.t.Error(err)
				}
				got, err := read(c)
				switch {
				case waits && (err != nil || len(got) != len(down)):
					w.t.Errorf("the client got %s, %v", difference(got, down), err)
				case !waits && !isReset(err):
					w.t.Errorf("the client got %s, %v; netstack used to reset here", difference(got, down), err)
				}
				_ = c.Close()
				w.finish()
			})
		})
	}
}
