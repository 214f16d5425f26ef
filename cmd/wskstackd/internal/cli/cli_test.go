package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/tun"
)

// programEnv makes the test binary play wskstackd, for what only a process of its
// own can show.
const programEnv = "WSKSTACKD_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		os.Exit(Main(context.Background(), os.Args[1:], Stdio()))
	}
	goleak.VerifyTestMain(m)
}

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

// run runs a command line in this process. Its input is empty.
func run(t *testing.T, args ...string) result {
	t.Helper()
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out, talk bytes.Buffer
	code := Main(t.Context(), args, IO{In: in, Out: &out, Err: &talk})
	return result{code, out.String(), talk.String()}
}

func TestHelpHasExamplesFirst(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"demo", "--help"}, {"connect", "-h"}, {"listen", "-h"}, {"run", "-h"}, {"bench", "connect", "-h"}, {"help", "version"}} {
		r := run(t, args...)
		if r.code != exitOK || r.err != "" {
			t.Errorf("%q: exit code %d, %q", args, r.code, r.err)
		}
		examples, usage := strings.Index(r.out, "\nExamples:\n  "), strings.Index(r.out, "\nUsage:\n  wskstackd")
		if examples < 0 || usage < examples {
			t.Errorf("%q: examples at %d, usage at %d\n%s", args, examples, usage, r.out)
		}
		for _, l := range strings.Split(r.out, "\n") {
			if len(l) > 110 {
				t.Errorf("%q: a line of %d columns: %s", args, len(l), l)
			}
		}
	}
}

func TestHelpListsExitCodes(t *testing.T) {
	r := run(t, "help", "exit-codes")
	for _, code := range []int{exitOK, exitFailure, exitUsage, exitUnavailable, exitPermission} {
		if !strings.Contains(r.out, fmt.Sprintf("\n  %-6d ", code)) {
			t.Errorf("exit code %d is not documented:\n%s", code, r.out)
		}
	}
	if r.code != exitOK || !strings.Contains(run(t).out, "exit-codes") {
		t.Error("the page on exit codes cannot be found")
	}
}

func TestVersion(t *testing.T) {
	if r := run(t, "version"); r.code != exitOK || !strings.HasPrefix(r.out, "wskstackd ") || !strings.Contains(r.out, "netstack ") || r.err != "" {
		t.Errorf("got %+v", r)
	}
	r := run(t, "version", "--json")
	var v version
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || v.Go == "" || v.Version == "" || v.Netstack == "" {
		t.Errorf("%v: %s", err, r.out)
	}
}

// Wrong usage is one line on standard error that says what to do, exit code 2,
// and nothing on standard output.
func TestWrongUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"frobnicate"}, "unknown command"},
		{[]string{"help", "frobnicate"}, "no help about"},
		{[]string{"--frobnicate"}, "unknown flag: --frobnicate: see 'wskstackd --help'"},
		{[]string{"demo", "--frobnicate"}, "see 'wskstackd demo --help'"},
		{[]string{"demo", "extra"}, "see 'wskstackd demo --help'"},
		{[]string{"demo", "--family", "5"}, "use 4 or 6"},
		{[]string{"demo", "--family", "four"}, "invalid argument"},
		{[]string{"demo", "--delay", "1ms"}, "use 5ms to 400ms"},
		{[]string{"demo", "--delay", "20"}, "missing unit"},
		{[]string{"demo", "--wire", "string"}, "use auto, tun, veth or memory"},
		{[]string{"version", "extra"}, "see 'wskstackd version --help'"},
		{[]string{"connect"}, "the peer's HOST:PORT is missing: write 'wskstackd connect HOST:PORT [flags]': see 'wskstackd connect --help'"},
		{[]string{"connect", "192.0.2.1", "80"}, "2 arguments instead of one HOST:PORT (host and port are joined by a colon): write 'wskstackd connect HOST:PORT [flags]'"},
		{[]string{"connect", "0.0.0.0:7777"}, "the unspecified address"},
		{[]string{"connect", "[::]:7777"}, "the unspecified address"},
		{[]string{"connect", "255.255.255.255:7777"}, "the broadcast address"},
		{[]string{"connect", "224.0.0.1:7777"}, "a multicast address"},
		{[]string{"connect", "[fe80::1%eth0]:7777"}, "an address of one link"},
		{[]string{"connect", "192.0.2.1"}, "is not HOST:PORT"},
		{[]string{"connect", "192.0.2.1:0"}, "is no TCP port"},
		{[]string{"connect", "192.0.2.1:99999"}, "is no TCP port"},
		{[]string{"connect", "--link", "10.0.0.1", "192.0.2.1:80"}, "no address with a prefix length"},
		{[]string{"connect", "--repeat", "0", "192.0.2.1:80"}, "--repeat 0"},
		{[]string{"connect", "--wait", "-1s", "192.0.2.1:80"}, "--wait -1s"},
		{[]string{"run", "extra"}, "see 'wskstackd run --help'"},
		{[]string{"run", "--listen", "0.0.0.0:1080"}, "loopback address only"},
		{[]string{"run", "--listen", "1080"}, "is not ADDRESS:PORT"},
		{[]string{"run", "--listen", ""}, "nothing to do"},
		{[]string{"run", "--listen", "127.0.0.1:1080,wait=1h"}, "from 0s to 5s"},
		{[]string{"run", "--forward", "127.0.0.1:80"}, "is not LADDR=RADDR"},
		{[]string{"run", "--expose", ":0=127.0.0.1:80"}, "of the stack"},
		{[]string{"run", "--metrics", "9090"}, "--metrics"},
		{[]string{"run", "--deny", "ten"}, "is no network"},
		{[]string{"run", "--dns", "localhost"}, "is no address of a name server"},
		{[]string{"run", "--link", "10.0.0.1"}, "no address with a prefix length"},
		{[]string{"run", "--log", "xml"}, "use auto, text or json"},
		{[]string{"run", "--log-level", "loud"}, "use debug, info, warn or error"},
		{[]string{"run", "--drain", "0s"}, "--drain 0s"},
	} {
		r := run(t, c.args...)
		if r.code != exitUsage || r.out != "" || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "wskstackd: ") || !strings.Contains(r.err, c.want) {
			t.Errorf("%q: %+v, want exit code 2 and one line with %q", c.args, r, c.want)
		}
	}
}

// Words that nobody can read are a failure, of every command, in one line.
func TestOutputThatCannotBeWritten(t *testing.T) {
	for _, args := range [][]string{
		{}, {"--help"}, {"help", "exit-codes"}, {"version"}, {"version", "--json"},
		{"demo", "--wire", "memory"}, {"demo", "--wire", "memory", "--json"},
	} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var talk bytes.Buffer
		code := Main(t.Context(), args, IO{Out: full, Err: &talk})
		if err := full.Close(); err != nil {
			t.Fatal(err)
		}
		var said []string
		for l := range strings.Lines(talk.String()) {
			if !strings.HasPrefix(l, "demo: ") { // what --json says besides
				said = append(said, l)
			}
		}
		if code != exitFailure || len(said) != 1 || strings.Count(said[0], "standard output cannot be written") != 1 || !strings.Contains(said[0], unix.ENOSPC.Error()) {
			t.Errorf("%q: exit code %d, %q, want 1 and one line that says why", args, code, said)
		}
	}
}

// After a failed write nothing more comes out, and the error stays.
func TestKeptError(t *testing.T) {
	var w failsOnce
	k := &kept{w: &w}
	for range 2 {
		if _, err := k.Write([]byte("x")); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("got %v", err)
		}
	}
	anything := errors.New("anything")
	for _, c := range []struct{ err, want error }{{nil, k.err}, {errClaimsFalse, k.err}, {errClaimsFalse, errClaimsFalse}, {anything, anything}} {
		if got := k.after(c.err); !errors.Is(got, c.want) || strings.Contains(got.Error(), "\n") {
			t.Errorf("after %v: %v, want %v", c.err, got, c.want)
		}
	}
	if err := (&kept{}).after(nil); err != nil {
		t.Errorf("nothing was lost, and yet: %v", err)
	}
	if w.calls != 1 || !errors.Is(k.err, unix.ENOSPC) {
		t.Errorf("%d writes, kept %v", w.calls, k.err)
	}
}

// failsOnce is a full disk that somebody then makes room on.
type failsOnce struct{ calls int }

func (f *failsOnce) Write(b []byte) (int, error) {
	if f.calls++; f.calls == 1 {
		return 0, unix.ENOSPC
	}
	return len(b), nil
}

// Figures that mean nothing are not said.
func TestHappened(t *testing.T) {
	for want, r := range map[string]report.Run{
		"8 bytes, 0 in the SYN, 0 accepted (off)":                                                                        {Bytes: 8, Reason: "off"},
		"8 bytes, 8 in the SYN, 8 accepted, first byte of the answer after 0.500 ms":                                     {Bytes: 8, BytesInSYN: 8, BytesAcceptedInSYN: 8, TTFBms: 0.5},
		"8 bytes, 0 in the SYN, 0 accepted, first byte of the answer after 41.000 ms, 2 times the handshake (no-cookie)": {Bytes: 8, TTFBms: 41, RoundTrips: 2, Reason: "no-cookie"},
	} {
		if got := happened(r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOutputThatCannotBeMade(t *testing.T) {
	r := run(t, "connect", "--output", t.TempDir()+"/no/such", "192.0.2.1:80")
	if r.code != exitFailure || !strings.Contains(r.err, "--output") {
		t.Errorf("got %+v", r)
	}
	r = run(t, "demo", "--wire", "memory", "--pcap", t.TempDir()+"/no/such")
	if r.code != exitFailure || !strings.Contains(r.err, "--pcap") {
		t.Errorf("got %+v", r)
	}
}

// Every kind of error has its exit code, however deep it is in the chain.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitOK},
		{errors.New("anything"), exitFailure},
		{errClaimsFalse, exitFailure},
		{usagef("x"), exitUsage},
		{tun.ErrBadName, exitUsage},
		{tun.ErrNoDevice, exitUnavailable},
		{errors.Join(netns.ErrPrivilege, tun.ErrNoDevice), exitUnavailable},
		{tun.ErrBusy, exitUnavailable},
		{tun.ErrNamespace, exitUnavailable},
		{tun.ErrNoPrivilege, exitPermission},
		{netns.ErrPrivilege, exitPermission},
		{os.ErrPermission, exitPermission},
		{signalled{unix.SIGINT}, 130},
		{signalled{unix.SIGTERM}, 143},
		{childExit(77), 77},
	} {
		if got := code(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
		if c.err != nil {
			if got := code(fmt.Errorf("deep: %w", fmt.Errorf("down: %w", c.err))); got != c.want {
				t.Errorf("%v, wrapped: %d, want %d", c.err, got, c.want)
			}
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	if got := line(errors.Join(errors.New("one"), errors.New("two"))); got != "one two" {
		t.Errorf("got %q", got)
	}
}

func TestColours(t *testing.T) {
	if colours(&bytes.Buffer{}) {
		t.Error("colours in a buffer")
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Logf("no pseudo-terminal to look at: %v", err)
		return
	}
	defer terminal.Close()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	if !colours(terminal) {
		t.Error("no colours on a terminal")
	}
	t.Setenv("TERM", "dumb")
	if colours(terminal) {
		t.Error("colours on a dumb terminal")
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	if colours(terminal) {
		t.Error("colours in spite of NO_COLOR")
	}
	t.Setenv("NO_COLOR", "")
	if !colours(&kept{w: terminal}) || colours(&kept{w: &bytes.Buffer{}}) {
		t.Error("what standard output is, is lost when its errors are kept")
	}
	if got := paint("1")("x"); got != "\x1b[1mx\x1b[0m" {
		t.Errorf("got %q", got)
	}
}
