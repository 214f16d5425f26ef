package stacktest_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/stacktest"
	"github.com/wskstack/wskstack/test/covers"
)

// failing says, in a process of its own, which of the failing tests to run.
const failing = "STACKTEST_FAILING"

// again runs this test binary with one failing test and returns what it says.
func again(t *testing.T, which string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFailing$", "-test.v")
	cmd.Env = append(os.Environ(), failing+"="+which)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("%s does not fail:\n%s", which, out)
	}
	return string(out)
}

// TestFailing fails on purpose, when it is told to: it runs in a process of its
// own, and otherwise has nothing to do.
func TestFailing(t *testing.T) {
	which := os.Getenv(failing)
	cfg := stacktest.Config{Seed: 4711, Replay: "go test -this -again", Dir: filepath.Join(os.TempDir(), "not", "there")}
	switch which {
	case "":
		return
	case "limit":
		cfg.Limit = time.Minute
	case "watchdog":
		cfg.Watchdog = 50 * time.Millisecond
	}
	stacktest.Run(t, cfg, func(n *stacktest.Net) {
		client := n.Host("client", stacktest.Both(stacktest.Path{Drop: []int{1}}), config(clientAddr))
		n.Host("server", stacktest.LineConfig{}, config(serverAddr))
		switch which {
		case "stream":
			_, err := client.Dial(serverPort, stack.ConnectOptions{})
			n.T().Errorf("on purpose: %v", err)
		case "limit":
			n.Sleep(time.Hour)
		case "watchdog":
			for {
				n.Settle()
			}
		}
	})
}

func TestFailureIsTold(t *testing.T) {
	covers.IDs(t, "P11")
	t.Setenv("TMPDIR", t.TempDir())
	out := again(t, "stream")
	for _, want := range []string{"seed 4711", "replay: go test -this -again", "client ●──✗", "{number 1}", "connection refused",
		"S seq 0 win", "fastopen-request", "server ◄", "RA seq 0 ack 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	m := regexp.MustCompile(`pcapng: (.*)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatal("no pcapng is named")
	}
	b, err := os.ReadFile(m[1])
	if err != nil {
		t.Fatal(err)
	}
	packets, comments := contents(t, b)
	if packets < 4 || !strings.Contains(comments, "number 1") {
		t.Errorf("the pcapng has %d packets, with the comments %q", packets, comments)
	}
}

// contents reads a pcapng.
func contents(t *testing.T, b []byte) (packets int, comments string) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for {
		_, _, opts, err := r.ReadPacketDataWithOptions()
		if err == io.EOF {
			return packets, comments
		}
		if err != nil {
			t.Fatal(err)
		}
		packets++
		comments += strings.Join(opts.Comments, "\n")
	}
}

func TestLimitsEndARun(t *testing.T) {
	for which, want := range map[string]string{
		"limit":    "the run is not over after 1m0s of virtual time",
		"watchdog": "replay: go test -this -again",
	} {
		if out := again(t, which); !strings.Contains(out, want) {
			t.Errorf("%s: it does not say %q:\n%s", which, want, out)
		}
	}
}
