package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/report"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

// limit is when something that hangs gives up; nothing is measured with it.
const limit = 60 * time.Second

// listener is the listen command in a process of its own.
type listener struct {
	t   *testing.T
	ns  *netns.Namespace
	cmd *exec.Cmd
	in  io.WriteCloser
	out bytes.Buffer
	// first is the line that says where it listens, talk what comes after it.
	first string
	talk  bytes.Buffer
	read  chan struct{} // closed when talk is complete
}

// startListener starts the command and waits until it listens.
func startListener(t *testing.T, ns *netns.Namespace, args ...string) *listener {
	t.Helper()
	if err := kernelpeer.EnableFastOpen(ns); err != nil {
		t.Fatal(err)
	}
	l := &listener{t: t, ns: ns, read: make(chan struct{})}
	l.cmd = program(false, append([]string{"listen", "--netns", ns.Path()}, args...)...)
	l.cmd.Stdout = &l.out
	errs, err := l.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(errs)
	l.first, err = lines.ReadString('\n')
	go func() { defer close(l.read); _, _ = io.Copy(&l.talk, lines) }()
	t.Cleanup(func() { _ = l.cmd.Process.Kill(); _, _ = l.cmd.Process.Wait() })
	if err != nil || !strings.HasPrefix(l.first, "listen: on ") {
		t.Fatalf("it said %q, %v", l.first, err)
	}
	return l
}

// at is the first address that the listener has said.
func (l *listener) at() netip.AddrPort {
	l.t.Helper()
	m := regexp.MustCompile(`^listen: on (\S+?),? `).FindStringSubmatch(l.first)
	a, err := netip.ParseAddrPort(m[1])
	if err != nil {
		l.t.Fatalf("%q: %v", l.first, err)
	}
	return a
}

// ended waits for the end of the command.
func (l *listener) ended() result {
	l.t.Helper()
	<-l.read
	_ = l.cmd.Wait()
	return result{l.cmd.ProcessState.ExitCode(), l.out.String(), l.talk.String()}
}

// stopped sends a signal and waits for the end.
func (l *listener) stopped(s syscall.Signal) result {
	l.t.Helper()
	if err := l.cmd.Process.Signal(s); err != nil {
		l.t.Fatal(err)
	}
	return l.ended()
}

// dial connects from the kernel.
func (l *listener) dial(data string) kernelpeer.Conn {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), limit)
	defer cancel()
	c, err := kernelpeer.Dial(ctx, l.ns, kernelpeer.ClientConfig{Remote: l.at(), Method: kernelpeer.SendTo, Data: []byte(data)})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		l.t.Fatal(err)
	}
	return c
}

// ask sends a question, closes that side, and returns the whole answer.
func (l *listener) ask(question string) string {
	l.t.Helper()
	c := l.dial(question)
	if err := c.CloseWrite(); err != nil {
		l.t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		l.t.Fatal(err)
	}
	_ = c.Close()
	return string(answer)
}

func TestListenToStandardOutput(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	before := network(t, ns)
	l := startListener(t, ns, ":0")
	if _, err := io.WriteString(l.in, "answer"); err != nil {
		t.Fatal(err)
	}
	_ = l.in.Close()
	if got := l.ask("question"); got != "answer" {
		t.Errorf("the client got %q", got)
	}
	if r := l.ended(); r != (result{exitOK, "question", ""}) {
		t.Errorf("got %+v", r)
	}
	if after := network(t, ns); after != before {
		t.Errorf("the network was\n%s\nand is\n%s", before, after)
	}
}

// Both ways to say what happened: for people and for programs.
func TestListenSummary(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	file := filepath.Join(t.TempDir(), "came")
	l := startListener(t, ns, "--verbose", "--json", "--repeat", "2", "--output", file, "10.9.0.2:7777")
	_, _ = io.WriteString(l.in, "answer")
	_ = l.in.Close()
	for range 2 {
		if got := l.ask("question"); got != "answer" {
			t.Errorf("the client got %q", got)
		}
	}
	r := l.ended()
	var all []report.Served
	for dec := json.NewDecoder(strings.NewReader(r.out)); dec.More(); {
		dec.DisallowUnknownFields()
		var s report.Served
		if err := dec.Decode(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if r.code != exitOK || len(all) != 2 || all[0].Reason != "cookie-requested" || all[1].BytesAcceptedInSYN != 8 || all[1].Name != "listen" {
		t.Errorf("got %+v", r)
	}
	for _, want := range []string{
		": connected\n",
		": 8 bytes received, 6 sent, 0 in the SYN, 0 accepted (cookie-requested)\n",
		": 8 bytes received, 6 sent, 8 in the SYN, 8 accepted\n",
	} {
		if !strings.Contains(r.err, want) {
			t.Errorf("no %q in\n%s", want, r.err)
		}
	}
	if came, err := os.ReadFile(file); err != nil || string(came) != "questionquestion" {
		t.Errorf("output %q, %v", came, err)
	}
}

// An end by a signal, in the middle of a connection, leaves the network as it was.
func TestListenEndedBySignal(t *testing.T) {
	tunHere(t)
	for sig, want := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGKILL: -1} {
		t.Run(sig.String(), func(t *testing.T) {
			ns := netnstest.New(t)
			before := network(t, ns)
			l := startListener(t, ns, "--exec", "cat", ":0")
			c := l.dial("x")
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			if sig != syscall.SIGKILL {
				// In good order: the client sees an end, and no reset.
				if err := l.cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
					t.Errorf("the client got %q, %v", rest, err)
				}
				_ = c.Close()
			} else if err := l.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if r := l.ended(); r.code != want {
				t.Errorf("%+v, want exit code %d", r, want)
			}
			if after := network(t, ns); after != before {
				t.Errorf("the network was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// A second signal does not wait for a client that does not end.
func TestListenEndedBySecondSignal(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	l := startListener(t, ns, "--echo", ":0")
	c := l.dial("x")
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil { // it is ending, and waits for us
		t.Fatal(err)
	}
	r := l.stopped(syscall.SIGTERM)
	if status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("%v: %+v", l.cmd.ProcessState, r)
	}
}

// Commands have the signals of an ordinary program: this one would go on for ever
// if it did not die of a closed pipe.
func TestListenedCommandsDieOfAClosedPipe(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	l := startListener(t, ns, "--repeat", "1", "--exec", `(yes; echo "$?" >&2) | head -n 1; wait`, ":0")
	if got := l.ask("x"); got != "y\n" {
		t.Errorf("the client got %q", got)
	}
	if r := l.ended(); r.code != exitOK || r.err != "141\n" {
		t.Errorf("got %+v, want the shell's code for SIGPIPE", r)
	}
}

// Bad input is one line with its exit code.
func TestListenRefuses(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("secret-not-a-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, exitUsage, "the [HOST]:PORT to listen on is missing: write 'wskstackd listen [HOST]:PORT [flags]': see 'wskstackd listen --help'"},
		{[]string{"10.9.0.2", "80"}, exitUsage, "2 arguments instead of one"},
		{[]string{"--echo", "--http", ".", ":80"}, exitUsage, "--echo, --exec and --http exclude one another"},
		{[]string{"--exec", "cat", "--http", ".", ":80"}, exitUsage, "--echo, --exec and --http exclude one another"},
		{[]string{"--echo", "--exec", "cat", ":80"}, exitUsage, "--echo, --exec and --http exclude one another"},
		{[]string{"--keep", "--repeat", "2", ":80"}, exitUsage, "--keep and --repeat exclude one another"},
		{[]string{"--exec", "", ":80"}, exitUsage, "the command is empty"},
		{[]string{"--http", "", ":80"}, exitUsage, "the directory is missing"},
		{[]string{"--http", "/no/such", ":80"}, exitUnavailable, "/no/such"},
		{[]string{"--echo", "--output", "x", ":80"}, exitUsage, "--output is for what comes without"},
		{[]string{"--fast-open-key", "", ":80"}, exitUsage, "it is empty"},
		{[]string{"--fast-open-key", "1234", ":80"}, exitUsage, "four groups of up to eight hexadecimal digits"},
		{[]string{"--fast-open-key", "00000000-00000000-00000000-00000000", ":80"}, exitUsage, "before it has a key"},
		{[]string{"--fast-open-key", "@" + key, ":80"}, exitUsage, "four groups of up to eight hexadecimal digits"},
		{[]string{"--fast-open-key", "@/no/such", ":80"}, exitUsage, "the file cannot be read"},
		{[]string{"--fast-open-pending", "0", ":80"}, exitUsage, "--fast-open-pending 0"},
		{[]string{"--max-connections", "0", ":80"}, exitUsage, "--max-connections 0"},
		{[]string{"--idle", "-1s", ":80"}, exitUsage, "--idle -1s"},
		{[]string{"--link", "10.0.0.1", ":80"}, exitUsage, "no address with a prefix length"},
		{[]string{"--echo", "127.0.0.1:80"}, exitUsage, "a loopback address"},
		{[]string{"--echo", "10.9.0.2:"}, exitUsage, "is not [HOST]:PORT"},
		{[]string{"--echo", "no-such-name.invalid:80"}, exitUnavailable, "no-such-name.invalid"},
		{[]string{"--echo", "--netns", "/no/such", ":80"}, exitUnavailable, "/no/such"},
	} {
		r := run(t, append([]string{"listen"}, c.args...)...)
		if r.code != c.code || r.out != "" || strings.Count(r.err, "\n") != 1 || !strings.HasPrefix(r.err, "wskstackd: ") || !strings.Contains(r.err, c.want) || strings.Contains(r.err, "secret") {
			t.Errorf("%q: %+v, want exit code %d and one line with %q", c.args, r, c.code, c.want)
		}
	}
}

// Without the privilege the line says which.
func TestListenAsOrdinaryUser(t *testing.T) {
	r := ended(program(true, "listen", "--echo", "--link", "198.18.99.1/30", ":80"))
	if r.code != exitPermission && r.code != exitUnavailable || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "/dev/net/tun") && !strings.Contains(r.err, "CAP_NET_ADMIN") {
		t.Errorf("got %+v", r)
	}
}

func TestListenWithClosedInput(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", `exec "$0" "$@" <&-`, executable(t), "listen", ":80")
	cmd.Env = environment()
	if r := ended(cmd); r.code != exitUsage || !strings.Contains(r.err, "standard input is closed") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("got %+v", r)
	}
}

// Keys come from the command line or, so that nobody sees them there, from a file.
func TestKeysOfListen(t *testing.T) {
	const text = "00000001-00000002-00000003-00000004,00000009-00000009-00000009-00000009"
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{text, "@" + file} {
		if keys, err := readKeys(value); err != nil || keys.Text() != text {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// Completion knows the command and its flags.
func TestListenIsCompleted(t *testing.T) {
	if r := run(t, "__complete", "li"); !strings.Contains(r.out, "listen\t") {
		t.Errorf("got %+v", r)
	}
	if r := run(t, "__complete", "listen", "--fast-open-"); !strings.Contains(r.out, "--fast-open-key\t") || !strings.Contains(r.out, "--fast-open-pending\t") {
		t.Errorf("got %+v", r)
	}
}
