package cli

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wskstack/wskstack/stack/fastopen/tfo"
	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns/netnstest"
)

// page is a page of the repository's root.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The README's example of connect, run in a namespace, puts bytes in a SYN, as the
// text below it says: not in the first connection's, but in the second's.
func TestConnectOfTheREADME(t *testing.T) {
	example := regexp.MustCompile(`(?m)^printf '(.*)' \| go run ./cmd/wskstackd connect (.*) 192\.0\.2\.1:80$`).FindStringSubmatch(page(t, "README.md"))
	if example == nil {
		t.Fatal("README.md has no example of connect")
	}
	tunHere(t)
	ns := netnstest.New(t)
	target := listen(t, ns, kernelpeer.Echo)
	input := strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(example[1])
	cmd := program(false, append(append([]string{"connect", "--netns", ns.Path()}, strings.Fields(example[2])...), target)...)
	cmd.Stdin = strings.NewReader(input)
	r := ended(cmd)
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	if r.code != exitOK || r.out != strings.Repeat(input, 2) || len(lines) != 3 {
		t.Fatalf("got %+v", r)
	}
	for i, inSYN := range []int{0, len(input)} {
		if want := fmt.Sprintf("%d bytes, %d in the SYN, %d accepted", len(input), inSYN, inSYN); !strings.Contains(lines[i+1], want) {
			t.Errorf("connection %d: %s, want %q", i+1, lines[i+1], want)
		}
	}
}

// The README's example of listen, with connect as its client, run in a namespace
// that forwards: the second connection's bytes come in the SYN, as both ends say.
func TestListenOfTheREADME(t *testing.T) {
	example := regexp.MustCompile(`(?m)^go run ./cmd/wskstackd listen (.*)\nprintf '(.*)' \| go run ./cmd/wskstackd connect (.*)$`).FindStringSubmatch(page(t, "README.md"))
	if example == nil {
		t.Fatal("README.md has no example of listen with connect")
	}
	tunHere(t)
	ns := netnstest.New(t)
	if err := ns.SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	l := startListener(t, ns, strings.Fields(example[1])...)
	input := strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(example[2])
	cmd := program(false, append([]string{"connect", "--netns", ns.Path()}, strings.Fields(example[3])...)...)
	cmd.Stdin = strings.NewReader(input)
	r := ended(cmd)
	if r.code != exitOK || r.out != strings.Repeat(input, 2) {
		t.Errorf("connect: %+v", r)
	}
	served := l.stopped(syscall.SIGTERM)
	for _, inSYN := range []int{0, len(input)} {
		if want := fmt.Sprintf("%d bytes, %d in the SYN, %d accepted", len(input), inSYN, inSYN); !strings.Contains(r.err, want) {
			t.Errorf("connect said\n%s\nwithout %q", r.err, want)
		}
		if want := fmt.Sprintf("%d sent, %d in the SYN, %d accepted", len(input), inSYN, inSYN); !strings.Contains(served.err, want) {
			t.Errorf("listen said\n%s\nwithout %q", served.err, want)
		}
	}
}

// The server half's defaults are those that SECURITY.md gives.
func TestFiguresOfTheSecurityPage(t *testing.T) {
	text := strings.Join(strings.Fields(page(t, "SECURITY.md")), " ")
	for _, want := range []string{
		fmt.Sprintf("From %d connections of a listener", tfo.DefaultPending),
		fmt.Sprintf("for %d minutes (`ListenConfig.ReplayWindow`)", tfo.DefaultReplayWindow/time.Minute),
		fmt.Sprintf("last %d,%03d openings", tfo.DefaultReplays/1000, tfo.DefaultReplays%1000),
		fmt.Sprintf("A key makes cookies for %s (`ServerConfig.KeyLife`)", map[time.Duration]string{time.Hour: "an hour"}[tfo.DefaultKeyLife]),
		fmt.Sprintf("%d bytes, as Linux makes it", len(tfo.Key{}.Cookie(netip.IPv6Loopback(), netip.IPv6Loopback()).Bytes())),
	} {
		if !strings.Contains(text, want) {
			t.Errorf("SECURITY.md does not say %q", want)
		}
	}
}
