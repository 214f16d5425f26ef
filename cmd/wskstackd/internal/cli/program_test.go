package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netlink"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/stack/seg"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
)

// nobody is an ordinary user for the tests that root runs.
const nobody = 65534

// environment makes the test binary play the program. The race detector would
// wait a second at the end of each.
func environment() []string {
	return append(os.Environ(), programEnv+"=1", "GORACE=atexit_sleep_ms=0")
}

// program is wskstackd in a process of its own.
func program(asUser bool, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = environment()
	if asUser && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// ended runs a program to its end.
func ended(cmd *exec.Cmd) result {
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return result{-1, out.String(), err.Error()}
		}
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), talk.String()}
}

// parsed is the object that the demo printed, and the names of its fields.
func parsed(t *testing.T, r result) report.Demo {
	t.Helper()
	var d report.Demo
	dec := json.NewDecoder(strings.NewReader(r.out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		t.Fatalf("exit code %d: %v\n%s\n%s", r.code, err, r.out, r.err)
	}
	if rest, _ := io.ReadAll(dec.Buffered()); strings.TrimSpace(string(rest)) != "" {
		t.Errorf("more than one object: %q", rest)
	}
	return d
}

// proven checks what the demo is there for.
func proven(t *testing.T, d report.Demo) {
	t.Helper()
	runs := map[string]report.Run{}
	for _, r := range d.Runs {
		runs[r.Name] = r
	}
	want := []string{"cancel", "connect-then-send", "cookie-request", "fast-open", "fast-open-large", "server-fast-open", "syn-data-dropped"}
	if got := slices.Sorted(maps.Keys(runs)); !slices.Equal(got, want) || len(d.Runs) != len(want) {
		t.Errorf("runs %v, want %v", got, want)
	}
	if r := runs["fast-open"]; r.BytesInSYN != r.Bytes || r.BytesAcceptedInSYN != r.Bytes || r.RoundTrips != 1 || !r.FastOpen || r.Reason != "" {
		t.Errorf("fast-open: %+v", r)
	}
	if r := runs["connect-then-send"]; r.BytesInSYN != 0 || r.RoundTrips != 2 || r.FastOpen {
		t.Errorf("connect-then-send: %+v", r)
	}
	if r := runs["server-fast-open"]; r.BytesInSYN != r.Bytes || r.BytesAcceptedInSYN != r.Bytes || r.RoundTrips != 1 || r.AcceptedBeforeACK == nil || !*r.AcceptedBeforeACK {
		t.Errorf("server-fast-open: %+v", r)
	}
	if !d.OK || d.OneWayDelayMS != 20 || d.PeerCounters.Passive == 0 || d.PeerCounters.Active == 0 {
		t.Errorf("ok %v, %v ms, counters %+v", d.OK, d.OneWayDelayMS, d.PeerCounters)
	}
}

// tunHere skips the test where this user gets no TUN in a namespace.
func tunHere(t *testing.T) {
	t.Helper()
	netnstest.Require(t, netns.Available())
	w, err := wire.Open(wire.TUN, wire.Config{})
	netnstest.Require(t, err)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDemoAgainstTheKernel(t *testing.T) {
	tunHere(t)
	for _, family := range []string{"4", "6"} {
		t.Run("ipv"+family, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "demo.pcapng")
			r := ended(program(false, "demo", "--json", "--family", family, "--pcap", file))
			if r.code != exitOK {
				t.Errorf("exit code %d: %s", r.code, r.err)
			}
			d := parsed(t, r)
			if d.Wire != "tun" || d.Peer != "linux-kernel" {
				t.Errorf("wire %s, peer %s", d.Wire, d.Peer)
			}
			proven(t, d)
			for _, run := range d.Runs {
				if run.Family != "ipv"+family {
					t.Errorf("%s ran over %s", run.Name, run.Family)
				}
			}
			captured(t, file, d.Runs)
		})
	}
}

// captured checks that the capture has what was on the wire: SYNs with cookie and
// payload, those that the path dropped too.
func captured(t *testing.T, file string, runs []report.Run) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ng, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[int]bool{}
	for {
		b, _, opts, err := ng.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := seg.Parse(b)
		if err != nil {
			t.Fatalf("%v: %x", err, b)
		}
		if o, ok := tfo.ParseOption(s); ok && !o.Cookie.Empty() && !s.Flags().Has(seg.ACK) {
			sizes[len(s.Payload())] = true
			if c := strings.Join(opts.Comments, "\n"); opts.Flags.Direction == pcapgo.NgEpbFlagDirectionOutbound &&
				!strings.Contains(c, "Fast Open: option added (cookie of ") {
				t.Errorf("the comment on a SYN with a cookie: %q", c)
			}
		}
	}
	for _, run := range runs {
		if run.BytesInSYN > 0 && !sizes[run.BytesInSYN] {
			t.Errorf("%s: no SYN with a cookie and %d bytes in the capture, only %v", run.Name, run.BytesInSYN, sizes)
		}
	}
}

func TestDemoAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		r := ended(program(true, "demo", "--json"))
		if r.code != exitOK {
			t.Errorf("exit code %d: %s", r.code, r.err)
		}
		d := parsed(t, r)
		peer := "linux-kernel"
		if d.Wire == "memory" {
			peer = "wskstack"
		}
		if !slices.Contains([]string{"userns-tun", "veth", "memory"}, d.Wire) || d.Peer != peer {
			t.Errorf("wire %s, peer %s", d.Wire, d.Peer)
		}
		proven(t, d)
	})
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		r := ended(program(true, "demo"))
		if r.code != exitOK || r.err != "" {
			t.Errorf("exit code %d: %s", r.code, r.err)
		}
		for _, want := range []string{"wire   ", "peer   ", "not tun: ", "claims hold\n"} {
			if !strings.Contains(r.out, want) && !(want == "not tun: " && strings.Contains(r.out, "userns-tun")) {
				t.Errorf("no %q in\n%s", want, r.out)
			}
		}
		if strings.Contains(r.out, "\x1b") {
			t.Error("colours in a pipe")
		}
	})
}

// A wire that is asked for and cannot be had is an error, never another wire.
func TestForcedWireThatIsOutOfReach(t *testing.T) {
	r := ended(program(true, "demo", "--wire", "tun", "--json"))
	if r.code == exitOK {
		if d := parsed(t, r); d.Wire != "userns-tun" {
			t.Errorf("wire %s", d.Wire)
		}
		return // this machine gives ordinary users a TUN
	}
	if r.code != exitPermission && r.code != exitUnavailable || r.out != "" || strings.Count(r.err, "\n") != 1 {
		t.Errorf("got %+v", r)
	}
}

// The demo in its namespace, too, fails when nobody can read it; the program
// outside adds nothing.
func TestDemoThatCannotBeRead(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var talk bytes.Buffer
	cmd := program(false, "demo")
	cmd.Stdout, cmd.Stderr = full, &talk
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != exitFailure || strings.Count(talk.String(), "\n") != 1 || !strings.Contains(talk.String(), "standard output cannot be written") {
		t.Errorf("exit code %d, %q", got, talk.String())
	}
}

// What a demo reports as its wire can be asked for.
func TestForcedWireByItsReportedName(t *testing.T) {
	tunHere(t)
	r := ended(program(false, "demo", "--wire", "userns-tun", "--json"))
	if r.code != exitOK {
		t.Fatalf("got %+v", r)
	}
	if d := parsed(t, r); d.Wire != "tun" && d.Wire != "userns-tun" {
		t.Errorf("wire %s", d.Wire)
	}
}

// network is all that could be left behind.
func network(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	var b strings.Builder
	err := ns.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			fmt.Fprintf(&b, "%s %v\n", l.Attrs().Name, l.Attrs().Flags)
		}
		addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil {
			return err
		}
		for _, a := range addrs {
			fmt.Fprintln(&b, a)
		}
		routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		for _, r := range routes {
			fmt.Fprintln(&b, r)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// listen starts a service in the namespace, and returns its address from inside.
func listen(t *testing.T, ns *netns.Namespace, h kernelpeer.Handler) string {
	t.Helper()
	if err := kernelpeer.EnableFastOpen(ns); err != nil {
		t.Fatal(err)
	}
	srv, err := kernelpeer.Listen(ns, kernelpeer.ServerConfig{Address: netip.MustParseAddrPort("0.0.0.0:0"), FastOpen: 16, Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return netip.AddrPortFrom(netip.MustParseAddr("198.18.77.1"), srv.Addr().Port()).String()
}

// Every kind of bad input is one line with its exit code, and the network is as it
// was.
func TestConnectLeavesNothingBehind(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	target := listen(t, ns, kernelpeer.Echo)
	before := network(t, ns)
	for _, c := range []struct {
		name   string
		args   []string
		stdin  string
		asUser bool
		code   int
		want   string
	}{
		{"good", []string{target}, "x", false, exitOK, ""},
		{"repeated", []string{"--repeat", "2", "--json", target}, "x", false, exitOK, ""},
		{"refused", []string{"198.18.77.1:1"}, "x", false, exitFailure, "refused"},
		{"no route", []string{"203.0.113.1:80"}, "x", false, exitUnavailable, "no route"},
		{"no such name", []string{"no-such-name.invalid:80"}, "x", false, exitUnavailable, "no-such-name.invalid"},
		{"unparsable", []string{"198.18.77.1"}, "x", false, exitUsage, "HOST:PORT"},
		{"unknown flag", []string{"--nonsense", target}, "x", false, exitUsage, "--nonsense"},
		{"long name", []string{"--device", "longer-than-fifteen", target}, "x", false, exitUsage, "15"},
		{"name taken", []string{"--device", "lo", target}, "x", false, exitUnavailable, "taken"},
		{"closed input", []string{target}, "closed", false, exitUsage, "standard input is closed"},
		{"nobody there", []string{"--link", "198.18.77.1/29", "198.18.77.3:80"}, "x", false, exitUnavailable, "nobody else"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := program(c.asUser, append([]string{"connect", "--netns", ns.Path()}, c.args...)...)
			if c.stdin == "closed" {
				// The shell closes it; Go cannot.
				cmd = exec.Command("/bin/sh", append([]string{"-c", `exec "$0" "$@" <&-`, "/proc/self/exe"}, cmd.Args[1:]...)...)
				cmd.Args[3] = executable(t)
				cmd.Env = environment()
			} else {
				cmd.Stdin = strings.NewReader(c.stdin)
			}
			r := ended(cmd)
			if r.code != c.code || !strings.Contains(r.err, c.want) {
				t.Errorf("got %+v, want exit code %d and %q", r, c.code, c.want)
			}
			if c.code != exitOK && (strings.Count(r.err, "\n") != 1 || r.out != "") {
				t.Errorf("more than a line of error: %+v", r)
			}
			if c.code == exitOK && r.err != "" {
				t.Errorf("talk: %q", r.err)
			}
			if after := network(t, ns); after != before {
				t.Errorf("the network was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// executable is the path of this test binary.
func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A signal in the middle of a connection, and a kill, leave the network as it was.
func TestConnectEndedBySignal(t *testing.T) {
	tunHere(t)
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGKILL: -1} {
		t.Run(sig.String(), func(t *testing.T) {
			ns := netnstest.New(t)
			came := make(chan struct{})
			target := listen(t, ns, func(s *kernelpeer.Stream) error {
				if _, err := s.Read(make([]byte, 1)); err != nil {
					return err
				}
				close(came)
				return kernelpeer.Sink(s)
			})
			before := network(t, ns)
			cmd := program(false, "connect", "--netns", ns.Path(), target)
			var talk bytes.Buffer
			cmd.Stderr = &talk
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(in, "x"); err != nil {
				t.Fatal(err)
			}
			<-came
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != want {
				t.Errorf("exit code %d, want %d: %s", got, want, talk.String())
			}
			if after := network(t, ns); after != before {
				t.Errorf("the network was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// Without the privilege the line says which.
func TestConnectAsOrdinaryUser(t *testing.T) {
	cmd := program(true, "connect", "--link", "198.18.99.1/30", "198.18.99.1:80")
	cmd.Stdin = strings.NewReader("x")
	r := ended(cmd)
	if r.code != exitPermission && r.code != exitUnavailable || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "/dev/net/tun") && !strings.Contains(r.err, "CAP_NET_ADMIN") {
		t.Errorf("got %+v", r)
	}
}

func TestConnectSummary(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	target := listen(t, ns, kernelpeer.Echo)
	file := filepath.Join(t.TempDir(), "answer")
	cmd := program(false, "connect", "--netns", ns.Path(), "--repeat", "2", "--json", "--verbose", "--output", file, target)
	cmd.Stdin = strings.NewReader("question")
	r := ended(cmd)
	if r.code != exitOK || !strings.Contains(r.err, "to "+target+" from 198.18.77.2") {
		t.Fatalf("got %+v", r)
	}
	var runs []report.Run
	for dec := json.NewDecoder(strings.NewReader(r.out)); dec.More(); {
		var run report.Run
		if err := dec.Decode(&run); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	if len(runs) != 2 || runs[0].BytesInSYN != 0 || runs[1].BytesInSYN != 8 || runs[1].BytesAcceptedInSYN != 8 || runs[1].Name != "connect" {
		t.Errorf("runs %+v", runs)
	}
	if answer, err := os.ReadFile(file); err != nil || string(answer) != "questionquestion" {
		t.Errorf("answer %q, %v", answer, err)
	}
}
