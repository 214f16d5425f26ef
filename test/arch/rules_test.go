package arch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A rule forbids imports to rooms. Rooms and imports are patterns: "wsk/..." is
// wsk and all below it. An import that starts with "./" is a room of ours.
type rule struct {
	rooms  []string
	except []string // rooms to which the rule does not apply
	never  []string // forbidden imports
	unless []string // imports allowed all the same
	// deep: nor may they be reached through other packages.
	deep   bool
	reason string
}

const (
	gvisor    = "gvisor.dev/gvisor/..."
	netstack  = "gvisor.dev/gvisor/pkg/tcpip/stack"
	anyImport = "..."
	yaml      = "github.com/goccy/go-yaml/..."
	thirdSide = "*." // pattern of an import path with a dot in its first element
)

var rules = []rule{
	{
		rooms: []string{"..."}, except: []string{"stack/...", "test/...", "cmd/..."},
		never:  []string{gvisor},
		reason: "gVisor's words stay in stack/: what crosses its border are types of the standard library",
	},
	{
		rooms: []string{"wsk/..."}, except: []string{"wsk/onstack/..."},
		never: []string{gvisor, "./stack/...", "./tun/..."}, deep: true,
		reason: "wsk runs over any Transport; wsk/onstack alone joins it to stack",
	},
	{
		rooms:  []string{"wsk/onstack"},
		never:  []string{gvisor, "./tun/...", "./stack/seg", "./stack/iolink/..."},
		reason: "the join has no rules of its own: it knows wsk and stack, and Fast Open's modes",
	},
	{
		rooms: []string{"wsk/irp/..."},
		never: []string{"./...", thirdSide}, unless: []string{"./wsk/irp/...", "./wsk/ntstatus"}, deep: true,
		reason: "an IRP's life does not depend on sockets or networks",
	},
	{
		rooms:  []string{"wsk/verifier"},
		never:  []string{"./...", thirdSide, "net"},
		unless: []string{"./wsk", "./wsk/irp", "./wsk/ntstatus"},
		reason: "the verifier sees what crosses the edge of wsk: it has no network, and no provider depends on it",
	},
	{
		rooms:  []string{"wsk/scenario"},
		never:  []string{"./...", thirdSide},
		unless: []string{"./wsk", "./wsk/irp", "./wsk/ntstatus", "./wsk/verifier", yaml},
		reason: "scenarios run in any world: cmd makes it, with its network and its peer",
	},
	{
		rooms: []string{"..."}, except: []string{"wsk/scenario", "cmd/..."},
		never:  []string{yaml},
		reason: "scenarios and settings are files that people write; nothing else reads any",
	},
	{
		rooms: []string{"wsk/ntstatus"},
		never: []string{"./...", thirdSide}, deep: true,
		reason: "status codes are a leaf",
	},
	{
		rooms: []string{"stack/..."},
		never: []string{"./wsk/...", "./cmd/...", "./tun/..."}, deep: true,
		reason: "the stack serves any program on any link: no IRPs, no device, no flags",
	},
	{
		rooms: []string{"stack/fastopen/..."},
		never: []string{"./..."}, unless: []string{"./stack/seg", "./stack/fastopen/..."}, deep: true,
		reason: "the Fast Open layer works over any link of anybody's: it knows neither who offers nor what is below",
	},
	{
		rooms: []string{"stack/gate/..."},
		never: []string{"./..."}, unless: []string{"./stack/seg", "./stack/gate/..."}, deep: true,
		reason: "the gate works over any link of anybody's: it is told who listens, and knows no Fast Open",
	},
	{
		rooms: []string{"stack/fastopen/tfo/..."},
		never: []string{gvisor}, unless: []string{"gvisor.dev/gvisor/pkg/tcpip/seqnum"},
		reason: "RFC 7413's machines are pure: bytes and sequence numbers, no packet buffers, clocks or stacks",
	},
	{
		rooms: []string{"stack/fastopen/tfo/...", "stack/seg/..."},
		never: []string{netstack}, deep: true,
		reason: "they are tested by feeding them packets, without netstack",
	},
	{
		rooms: []string{"stack/seg"},
		never: []string{"./...", "time"}, reason: "views of a packet know no time and no other room",
	},
	{
		rooms: []string{"stack/iolink"},
		never: []string{"./..."}, unless: []string{"./stack/iolink/frame"},
		reason: "the link knows a small Device interface, not the devices, and not what is above it",
	},
	{
		rooms: []string{"stack/iolink/frame"},
		never: []string{anyImport}, reason: "the seam between link and device imports nothing",
	},
	{
		rooms: []string{"stack/capture"},
		never: []string{"./..."}, reason: "the capture writes down what passes, whoever sent it",
	},
	{
		rooms: []string{"tun/..."},
		never: []string{gvisor, "./..."}, unless: []string{"./tun/...", "./stack/iolink/frame"}, deep: true,
		reason: "a device moves IP packets: no TCP, no netstack",
	},
	{
		rooms: []string{"..."}, except: []string{"test/...", "cmd/..."},
		never:  []string{"./test/..."},
		reason: "what is built for tests is not part of the product; the demo in cmd alone uses the namespaces and wires",
	},
	{
		rooms: []string{"..."}, except: []string{"cmd/...", "test/..."},
		never:  []string{"./cmd/..."},
		reason: "commands are the top of the house",
	},
	{
		rooms: []string{"..."}, except: []string{"cmd/...", "test/..."},
		never:  []string{"github.com/spf13/...", "flag"},
		reason: "flags and environment are read in cmd/ and handed on as Config",
	},
	{
		rooms: []string{"cmd/wskstackd/internal/proxy", "cmd/wskstackd/internal/pump", "cmd/wskstackd/internal/fault"},
		never: []string{"./..."}, deep: true,
		reason: "what reads a client's bytes and what moves them are tested without a stack, a device or a privilege",
	},
	{
		rooms: []string{"cmd/wskstackd/internal/proxy"},
		never: []string{"os", "time", thirdSide}, reason: "the parsers are pure: bytes in, a request or an error out",
	},
	{
		rooms: []string{"..."}, except: []string{"cmd/...", "test/..."},
		never:  []string{"github.com/google/nftables/...", "github.com/prometheus/..."},
		reason: "firewalls and metrics are the daemon's; a library shows its counters as a struct",
	},
	{
		rooms: []string{"..."}, except: []string{"cmd/..."},
		never:  []string{"log"},
		reason: "a library says nothing unless it is given a *slog.Logger",
	},
}

// match says whether an import or room fits a pattern.
func match(pattern, name string) bool {
	switch {
	case pattern == anyImport:
		return true
	case pattern == thirdSide:
		first, _, _ := strings.Cut(name, "/")
		return strings.Contains(first, ".") && !isOurs(name)
	case strings.HasSuffix(pattern, "/..."):
		top := strings.TrimSuffix(pattern, "/...")
		return name == top || strings.HasPrefix(name, top+"/")
	}
	return pattern == name
}

func isOurs(pkg string) bool { return pkg == module || strings.HasPrefix(pkg, module+"/") }

// matchImport is match for import patterns: ours start with "./".
func matchImport(pattern, pkg string) bool {
	if ours, ok := strings.CutPrefix(pattern, "./"); ok {
		if ours == anyImport {
			return isOurs(pkg)
		}
		pattern = module + "/" + ours
	}
	return match(pattern, pkg)
}

func anyMatch(patterns []string, matches func(string) bool) bool {
	return slices.ContainsFunc(patterns, matches)
}

// concerns says whether the rule is about a room.
func (r *rule) concerns(room string) bool {
	fits := func(pattern string) bool { return match(pattern, room) }
	return anyMatch(r.rooms, fits) && !anyMatch(r.except, fits)
}

func (r *rule) forbids(pkg string) bool {
	fits := func(pattern string) bool { return matchImport(pattern, pkg) }
	return anyMatch(r.never, fits) && !anyMatch(r.unless, fits)
}

// violations lists the imports of a graph that break a rule, as sentences.
func violations(g graph) []string {
	var out []string
	for pkg := range g {
		if !isOurs(pkg) {
			continue
		}
		room := strings.TrimPrefix(strings.TrimPrefix(pkg, module), "/")
		for _, r := range rules {
			if !r.concerns(room) {
				continue
			}
			if r.deep {
				if way := g.chain(pkg, r.forbids); way != nil {
					out = append(out, fmt.Sprintf("%s\n\t%s", strings.Join(way, "\n\t -> "), r.reason))
				}
				continue
			}
			for _, i := range g[pkg] {
				if r.forbids(i) {
					out = append(out, fmt.Sprintf("%s\n\t -> %s\n\t%s", pkg, i, r.reason))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func TestRoomsKeepToTheMap(t *testing.T) {
	for _, v := range violations(loadGraph(t)) {
		t.Error(v)
	}
}

// Each row is a tree with one wrong import, or a right one.
func TestRulesSayWhatTheyMean(t *testing.T) {
	ours := func(room string) string { return module + "/" + room }
	for name, c := range map[string]struct {
		edges [][2]string
		wrong bool
	}{
		"wsk to gVisor":               {[][2]string{{ours("wsk"), "gvisor.dev/gvisor/pkg/tcpip"}}, true},
		"wsk to stack, on a by-way":   {[][2]string{{ours("wsk/irp"), ours("wsk/ntstatus")}, {ours("wsk/ntstatus"), ours("stack")}}, true},
		"wsk to irp":                  {[][2]string{{ours("wsk"), ours("wsk/irp")}}, false},
		"onstack to both":             {[][2]string{{ours("wsk/onstack"), ours("wsk")}, {ours("wsk/onstack"), ours("stack")}, {ours("stack"), netstack}}, false},
		"onstack to gVisor":           {[][2]string{{ours("wsk/onstack"), netstack}}, true},
		"irp to the standard library": {[][2]string{{ours("wsk/irp"), "sync"}}, false},
		"irp to a module":             {[][2]string{{ours("wsk/irp"), "golang.org/x/sync/errgroup"}}, true},
		"stack to wsk":                {[][2]string{{ours("stack"), ours("wsk/ntstatus")}}, true},
		"stack to tun":                {[][2]string{{ours("stack/iolink"), ours("tun")}}, true},
		"tfo to seqnum":               {[][2]string{{ours("stack/fastopen/tfo"), "gvisor.dev/gvisor/pkg/tcpip/seqnum"}}, false},
		"tfo to tcpip":                {[][2]string{{ours("stack/fastopen/tfo"), "gvisor.dev/gvisor/pkg/tcpip"}}, true},
		"tfo to netstack by seg":      {[][2]string{{ours("stack/fastopen/tfo"), ours("stack/seg")}, {ours("stack/seg"), netstack}}, true},
		"fastopen to stack":           {[][2]string{{ours("stack/fastopen"), ours("stack")}}, true},
		"fastopen to netstack":        {[][2]string{{ours("stack/fastopen"), netstack}}, false},
		"seg to time":                 {[][2]string{{ours("stack/seg"), "time"}}, true},
		"frame to anything":           {[][2]string{{ours("stack/iolink/frame"), "fmt"}}, true},
		"tun to frame":                {[][2]string{{ours("tun"), ours("stack/iolink/frame")}}, false},
		"tun to stack":                {[][2]string{{ours("tun"), ours("stack/seg")}}, true},
		"product to tests":            {[][2]string{{ours("tun"), ours("test/netns")}}, true},
		"cmd to tests":                {[][2]string{{ours("cmd/wskstackd"), ours("test/wire")}}, false},
		"cobra in stack":              {[][2]string{{ours("stack"), "github.com/spf13/cobra"}}, true},
		"cobra in cmd":                {[][2]string{{ours("cmd/wskstackd"), "github.com/spf13/cobra"}}, false},
		"log in test":                 {[][2]string{{ours("test/relay"), "log"}}, true},
		"proxy to stack":              {[][2]string{{ours("cmd/wskstackd/internal/proxy"), ours("stack")}}, true},
		"proxy to a clock":            {[][2]string{{ours("cmd/wskstackd/internal/proxy"), "time"}}, true},
		"metrics in stack":            {[][2]string{{ours("stack"), "github.com/prometheus/client_golang/prometheus"}}, true},
		"slog anywhere":               {[][2]string{{ours("stack"), "log/slog"}}, false},
		"cmd within cmd":              {[][2]string{{ours("cmd/wskstackd"), ours("cmd/wskstackd/demo")}}, false},
		"test to cmd":                 {[][2]string{{ours("test/e2e"), ours("cmd/wskstackd/demo")}}, false},
		"stack to cmd":                {[][2]string{{ours("tun"), ours("cmd/wskstackd/demo")}}, true},
	} {
		g := make(graph)
		for _, e := range c.edges {
			g[e[0]] = append(g[e[0]], e[1])
		}
		if got := violations(g); (len(got) > 0) != c.wrong {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Water has faults that only its wrapper knows (tun's package comment; the tests
// beside it prove them on water itself); and netstack's package has one name, so
// that "stack" always means ours.
func TestFilesKeepToTheMap(t *testing.T) {
	const water = "github.com/songgao/water"
	for _, f := range sources(t) {
		for pkg, name := range f.imports() {
			switch {
			case match(water+"/...", pkg) && f.path != "tun/water.go" && (f.room() != "tun" || !f.isTest()):
				t.Errorf("%s imports %s: tun/water.go alone may, where its faults are dealt with", f.path, pkg)
			case pkg == netstack && name != "gstack":
				t.Errorf("%s imports %s as %q: its name here is gstack", f.path, pkg, name)
			case name == ".":
				t.Errorf("%s imports all names of %s: nobody can tell where a name comes from", f.path, pkg)
			}
		}
	}
}
