package stacktest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// maxLadder is how many lines of the ladder are logged; the pcapng has all.
const maxLadder = 400

// tellFailure logs what is needed to look into a failure, once.
func (n *Net) tellFailure() {
	if n.told {
		return
	}
	n.told = true
	events := n.trace.events
	ladder := Ladder(events[:min(len(events), maxLadder)])
	if len(events) > maxLadder {
		ladder += fmt.Sprintf("... and %d more\n", len(events)-maxLadder)
	}
	where, err := n.save(events)
	if err != nil {
		where = "not written: " + err.Error()
	}
	n.t.Logf("seed %d, %v of virtual time, %d packets, trace %016x\nreplay: %s\npcapng: %s\n%s",
		n.cfg.Seed, n.timers.now(), n.trace.sent, n.trace.hash, n.cfg.Replay, where, ladder)
}

// save writes the events to a file of their own.
func (n *Net) save(events []Event) (name string, err error) {
	dir := n.cfg.Dir
	if dir == "" {
		dir = os.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	base := strings.Map(func(r rune) rune {
		if r == '/' || r == filepath.Separator {
			return '_'
		}
		return r
	}, n.t.Name())
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-seed-%d.pcapng", base, n.cfg.Seed)))
	if err != nil {
		return "", err
	}
	err = WritePcapng(f, events)
	if e := f.Close(); err == nil {
		err = e
	}
	return f.Name(), err
}

// WritePcapng writes events as pcapng: an interface for each node, the packets as
// they were sent, changed and delivered, their fate as a comment. Times count
// from the beginning of 2000.
func WritePcapng(w io.Writer, events []Event) error {
	var ng *pcapgo.NgWriter
	ids := make(map[string]int)
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, e := range events {
		id, known := ids[e.Node]
		if !known {
			var err error
			if ng, id, err = addInterface(w, ng, e.Node); err != nil {
				return err
			}
			ids[e.Node] = id
		}
		if err := ng.WritePacketWithOptions(gopacket.CaptureInfo{
			Timestamp: epoch.Add(e.At), CaptureLength: len(e.Bytes), Length: len(e.Bytes), InterfaceIndex: id,
		}, e.Bytes, pcapgo.NgPacketOptions{Comments: e.comments(), Flags: e.direction()}); err != nil {
			return err
		}
	}
	if ng == nil {
		return nil
	}
	return ng.Flush()
}

func addInterface(w io.Writer, ng *pcapgo.NgWriter, name string) (*pcapgo.NgWriter, int, error) {
	intf := pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeRaw, TimestampResolution: 9}
	if ng != nil {
		id, err := ng.AddInterface(intf)
		return ng, id, err
	}
	ng, err := pcapgo.NewNgWriterInterface(w, intf, pcapgo.NgWriterOptions{
		SectionInfo: pcapgo.NgSectionInfo{Application: "wskstack stacktest"}})
	return ng, 0, err
}

func (e *Event) comments() []string {
	var c []string
	for _, s := range []string{e.Lost, e.What} {
		if s != "" {
			c = append(c, s)
		}
	}
	return c
}

func (e *Event) direction() *pcapgo.NgEpbFlags {
	d := pcapgo.NgEpbFlags{Direction: pcapgo.NgEpbFlagDirectionOutbound}
	if e.Kind == Arrived {
		d.Direction = pcapgo.NgEpbFlagDirectionInbound
	}
	return &d
}
