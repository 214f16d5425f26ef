//go:build nooffload

package tun

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/wskstack/wskstack/stack/iolink/frame"
)

// TestBuiltWithoutOffloads: the tag decides, whatever Config says, and nothing is
// missed.
func TestBuiltWithoutOffloads(t *testing.T) {
	ownNetns(t)
	var log bytes.Buffer
	d := mustOpen(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if o := d.Offloads(); o != (frame.Offloads{}) || log.Len() > 0 {
		t.Errorf("offloads %+v, logged %q", o, log.String())
	}
}
