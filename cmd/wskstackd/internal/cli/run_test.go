package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/netstate"
)

// daemonRun is the run command in a process of its own, in a namespace.
type daemonRun struct {
	t     *testing.T
	ns    *netns.Namespace
	cmd   *exec.Cmd
	ready chan struct{} // closed when it has said so
	ended chan struct{} // closed when its log is complete
	log   bytes.Buffer  // complete once ended is closed
	said  chan string   // each message of the log
}

// startDaemon starts the command and waits until it is ready. Its runtime directory
// is dir.
func startDaemon(t *testing.T, ns *netns.Namespace, dir string, args ...string) *daemonRun {
	t.Helper()
	d := launchDaemon(t, ns, dir, args...)
	select {
	case <-d.ready:
	case <-d.ended:
		t.Fatalf("it ended:\n%s", d.log.String())
	}
	return d
}

func launchDaemon(t *testing.T, ns *netns.Namespace, dir string, args ...string) *daemonRun {
	t.Helper()
	d := &daemonRun{t: t, ns: ns, ready: make(chan struct{}), ended: make(chan struct{}), said: make(chan string, 1<<10)}
	d.cmd = program(false, append([]string{"run", "--runtime-dir", dir, "--log", "json"}, args...)...)
	errs, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Do(d.cmd.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Kill(); <-d.ended; _ = d.cmd.Wait() })
	go d.follow(errs)
	return d
}

// follow reads the log to its end.
func (d *daemonRun) follow(errs io.Reader) {
	defer close(d.ended)
	for lines := bufio.NewScanner(errs); lines.Scan(); {
		d.log.Write(append(lines.Bytes(), '\n'))
		var line struct {
			Msg string `json:"msg"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if line.Msg == "ready" {
			close(d.ready)
		}
		select {
		case d.said <- line.Msg:
		default:
		}
	}
}

// await waits until it has said something.
func (d *daemonRun) await(msg string) {
	d.t.Helper()
	for {
		select {
		case said := <-d.said:
			if strings.HasPrefix(said, msg) {
				return
			}
		case <-d.ended:
			d.t.Fatalf("it never said %q:\n%s", msg, d.log.String())
		}
	}
}

func (d *daemonRun) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// code waits for the end, and returns the exit code: -1 if a signal has ended it.
func (d *daemonRun) code() int {
	<-d.ended
	_ = d.cmd.Wait()
	return d.cmd.ProcessState.ExitCode()
}

// stop ends it with SIGTERM, and expects the good end.
func (d *daemonRun) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	if code := d.code(); code != exitOK {
		d.t.Errorf("exit code %d:\n%s", code, d.log.String())
	}
}

// state is all that could be left behind.
func state(t *testing.T, ns *netns.Namespace) string {
	t.Helper()
	s, err := netstate.Take(ns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// unchanged compares with what was before.
func unchanged(t *testing.T, ns *netns.Namespace, before string) {
	t.Helper()
	if d := netstate.Diff(before, state(t, ns)); d != "" {
		t.Errorf("left behind:\n%s", d)
	}
}

// neighbours are two namespaces with a cable between them: the host's end is
// 192.0.2.1 and 2001:db8::1, the other's 192.0.2.2 and 2001:db8::2.
func neighbours(t *testing.T) (host, other *netns.Namespace) {
	t.Helper()
	host, other = netnstest.New(t), netnstest.New(t)
	file, err := os.Open(other.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h, err := host.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "cable"}, PeerName: "cable", PeerNamespace: netlink.NsFd(file.Fd())}
	netnstest.Require(t, h.LinkAdd(cable))
	for last, ns := range map[byte]*netns.Namespace{1: host, 2: other} {
		// No link-local addresses, which come when they like.
		if err := ns.SetSysctl("net.ipv6.conf.cable.addr_gen_mode", "1"); err != nil {
			t.Fatal(err)
		}
		if err := ns.SetSysctl("net.ipv6.conf.cable.accept_dad", "0"); err != nil {
			t.Fatal(err)
		}
		h, err := ns.Netlink()
		if err != nil {
			t.Fatal(err)
		}
		link, err := h.LinkByName("cable")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"192.0.2.%d/24", "2001:db8::%d/64"} {
			addr, err := netlink.ParseAddr(fmt.Sprintf(a, last))
			if err != nil {
				t.Fatal(err)
			}
			if err := h.AddrAdd(link, addr); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
	for last, ns := range map[byte]*netns.Namespace{1: host, 2: other} {
		settled(t, ns, fmt.Sprintf("2001:db8::%d/128", last), "ff00::/8")
	}
	return host, other
}

// settled waits until the kernel has made its own routes, which it does when the
// cable's carrier is there.
func settled(t *testing.T, ns *netns.Namespace, routes ...string) {
	t.Helper()
	for ctx, cancel := context.WithTimeout(t.Context(), limit); ; {
		now, missing := state(t, ns), false
		for _, r := range append(routes, "link cable veth flags up|broadcast|multicast|running") {
			missing = missing || !strings.Contains(now, r)
		}
		if !missing {
			cancel()
			return
		}
		select {
		case <-time.After(time.Millisecond): // nothing announces it
		case <-ctx.Done():
			cancel()
			t.Fatalf("no %v among\n%s", routes, now)
		}
	}
}

// page1 is what a web server of the tests has.
const page1 = "as it was asked for\n"

// webServer answers one request for each connection.
func webServer(s *kernelpeer.Stream) error {
	r, err := http.ReadRequest(bufio.NewReader(s))
	if err != nil {
		return err
	}
	if r.URL.Path != "/page" {
		_, err = io.WriteString(s, "HTTP/1.0 404 Not Found\r\n\r\n")
		return err
	}
	_, err = fmt.Fprintf(s, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(page1), page1)
	return err
}

// serveIn starts a service with Fast Open in a namespace.
func serveIn(t *testing.T, ns *netns.Namespace, address string, h kernelpeer.Handler) *kernelpeer.Server {
	t.Helper()
	if err := kernelpeer.EnableFastOpen(ns); err != nil {
		t.Fatal(err)
	}
	srv, err := kernelpeer.Listen(ns, kernelpeer.ServerConfig{Address: netip.MustParseAddrPort(address), FastOpen: 16, Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return srv
}

// curl runs Debian's curl in a namespace.
func curl(t *testing.T, ns *netns.Namespace, args ...string) result {
	t.Helper()
	path, err := exec.LookPath("curl")
	if err != nil {
		netnstest.Require(t, netns.Withheld(fmt.Errorf("there is no curl here, install it ('apt-get install curl'): %w", err)))
	}
	cmd := exec.Command(path, append([]string{"--silent", "--show-error", "--max-time", "50", "--noproxy", ""}, args...)...)
	cmd.Env = []string{"HOME=/nonexistent"}
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	if err := ns.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return result{cmd.ProcessState.ExitCode(), out.String(), talk.String()}
}

// curl's requests to a server in another namespace, behind NAT: the first fetches
// the cookie, and those of the others are in their SYNs, as the server's kernel says.
func TestRunWithCurl(t *testing.T) {
	tunHere(t)
	for family, peer := range map[string]string{"IPv4": "192.0.2.2", "IPv6": "2001:db8::2"} {
		t.Run(family, func(t *testing.T) {
			t.Parallel()
			host, other := neighbours(t)
			srv := serveIn(t, other, netip.AddrPortFrom(netip.MustParseAddr(peer), 0).String(), webServer)
			before := state(t, host)
			d := startDaemon(t, host, t.TempDir(), "--nat")
			counters, err := kernelpeer.ReadCounters(other)
			if err != nil {
				t.Fatal(err)
			}
			url := "http://" + srv.Addr().String() + "/page"
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			for i, how := range [][]string{
				{"--socks5-hostname", "127.0.0.1:1080"}, {"--socks5-hostname", "127.0.0.1:1080"}, {"--socks5", "127.0.0.1:1080"},
				{"--proxytunnel", "--proxy", "http://127.0.0.1:1080"},
			} {
				if r := curl(t, host, append(how, url)...); r.code != 0 || r.out != page1 {
					t.Fatalf("%v: got %+v\n%s", how, r, d.log.String())
				}
				record, err := srv.Finished(ctx, i)
				if err != nil {
					t.Fatal(err)
				}
				if inSYN := i > 0; record.AcceptInfo.SYNData != inSYN {
					t.Errorf("request %d: TCPI_OPT_SYN_DATA is %v", i, record.AcceptInfo.SYNData)
				}
				if from := record.Remote.Addr().Unmap(); from != netip.MustParseAddr(strings.Replace(peer, "2.2", "2.1", 1)) && from != netip.MustParseAddr("2001:db8::1") {
					t.Errorf("request %d came from %v, which is not the host", i, from)
				}
			}
			after, err := kernelpeer.ReadCounters(other)
			if err != nil {
				t.Fatal(err)
			}
			if got := after.Since(counters); got.Passive != 3 || got.PassiveFail != 0 || got.CookieReqd != 1 {
				t.Errorf("the server's kernel counted %+v", got)
			}
			d.stop()
			unchanged(t, host, before)
		})
	}
}

// What cannot be reached is said in curl's own words: before a cookie is known, with
// the code of the protocol.
func TestRunRefusals(t *testing.T) {
	tunHere(t)
	host, _ := neighbours(t)
	if err := kernelpeer.EnableFastOpen(host); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, host, t.TempDir(), "--nat", "--deny", "192.0.2.0/25", "--connect-timeout", "20s")
	socks, tunnel := []string{"--socks5-hostname", "127.0.0.1:1080"}, []string{"--proxytunnel", "--proxy", "http://127.0.0.1:1080"}
	for _, c := range []struct {
		name, url string
		how       []string
		want      string
	}{
		{"refused", "http://192.0.2.200:1/", socks, ""}, // nobody has it: below
		{"a closed port", "http://198.18.77.1:1/", socks, "(5)"},
		{"a closed port", "http://198.18.77.1:1/", tunnel, "502"},
		{"loopback", "http://127.0.0.1:1080/", socks, "(2)"},
		{"loopback by name", "http://localhost:1080/", socks, "(2)"},
		{"loopback, mapped", "http://[::ffff:127.0.0.1]:1080/", tunnel, "403"},
		{"a cloud's credentials", "http://169.254.169.254/latest/", tunnel, "403"},
		{"denied by the user", "http://192.0.2.2/", tunnel, "403"},
		{"the stack itself", "http://198.18.77.2:80/", socks, "(2)"},
		{"no such name", "http://no-such-name.invalid/", socks, "(4)"},
		{"no proxy for pages", "http://192.0.2.2/", []string{"--proxy", "http://127.0.0.1:1080"}, "command-unknown"},
		{"no web server", "http://127.0.0.1:1080/", nil, "Empty reply"},
	} {
		if c.want == "" {
			continue
		}
		r := curl(t, host, append(c.how, c.url)...)
		if !strings.Contains(r.err+r.out, c.want) {
			t.Errorf("%s: got %+v, want %q", c.name, r, c.want)
		}
	}
	d.stop()
}

// A port of the host leads to a peer of the stack, and one of the stack to a service
// of the host, with Fast Open both ways: the kernel counts its own part.
func TestRunForwardsAndExposes(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	srv := serveIn(t, ns, "0.0.0.0:0", kernelpeer.Echo)
	before := state(t, ns)
	at := func(ip string) string { return netip.AddrPortFrom(netip.MustParseAddr(ip), srv.Addr().Port()).String() }
	d := startDaemon(t, ns, t.TempDir(), "--listen", "", "--metrics", "127.0.0.1:9090",
		"--forward", "127.0.0.1:8080="+at("198.18.77.1")+",wait=1s", "--expose", ":7=127.0.0.1:"+fmt.Sprint(srv.Addr().Port()))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	counters, err := kernelpeer.ReadCounters(ns)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		exchange(t, ns, kernelpeer.ClientConfig{Remote: netip.MustParseAddrPort("127.0.0.1:8080"), Data: []byte("forward")})
		record, err := srv.Finished(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		if record.AcceptInfo.SYNData != (i > 0) {
			t.Errorf("forward %d: TCPI_OPT_SYN_DATA is %v", i, record.AcceptInfo.SYNData)
		}
	}
	for i := range 2 {
		info := exchange(t, ns, kernelpeer.ClientConfig{Remote: netip.MustParseAddrPort("198.18.77.2:7"), Method: kernelpeer.SendTo, Data: []byte("expose")})
		if info.SYNData != (i > 0) {
			t.Errorf("expose %d: TCPI_OPT_SYN_DATA is %v, %+v", i, info.SYNData, info)
		}
	}
	after, err := kernelpeer.ReadCounters(ns)
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Since(counters); got.Passive != 1 || got.Active != 1 || got.ActiveFail != 0 {
		t.Errorf("the kernel counted %+v", got)
	}
	scraped(t, ns,
		`wskstackd_fastopen_client_accepted_total 1`, `wskstackd_fastopen_server_accepted_total 1`,
		`wskstackd_transferred_bytes_total{direction="to_peer",service="forward"} 14`,
		`wskstackd_transferred_bytes_total{direction="from_peer",service="expose"} 12`,
		`wskstackd_connections_accepted_total{service="proxy"} 0`)
	d.stop()
	unchanged(t, ns, before)
}

// exchange sends data to an echo, closes its side, and reads to the end.
func exchange(t *testing.T, ns *netns.Namespace, cfg kernelpeer.ClientConfig) kernelpeer.Info {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := kernelpeer.Dial(ctx, ns, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, err := c.Info()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != string(cfg.Data) {
		t.Errorf("got %q, %v", got, err)
	}
	return info
}

// within makes a transport of a namespace.
func within(ns *netns.Namespace) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		return kernelpeer.Dial(ctx, ns, kernelpeer.ClientConfig{Remote: to})
	}}
}

// scraped checks that the metrics have lines.
func scraped(t *testing.T, ns *netns.Namespace, want ...string) {
	t.Helper()
	r, err := (&http.Client{Transport: within(ns), Timeout: limit}).Get("http://127.0.0.1:9090/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if !strings.Contains(string(text), "\n"+w+"\n") {
			t.Errorf("no %q among\n%s", w, text)
		}
	}
}

// held starts a daemon with a forward to an echo, and a connection through it that
// has moved a byte.
func held(t *testing.T, args ...string) (*daemonRun, kernelpeer.Conn, string) {
	t.Helper()
	tunHere(t)
	ns := netnstest.New(t)
	srv := serveIn(t, ns, "0.0.0.0:0", kernelpeer.Echo)
	before := state(t, ns)
	d := startDaemon(t, ns, t.TempDir(), append(args, "--forward", fmt.Sprintf("127.0.0.1:8080=198.18.77.1:%d", srv.Addr().Port()))...)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := kernelpeer.Dial(ctx, ns, kernelpeer.ClientConfig{Remote: netip.MustParseAddrPort("127.0.0.1:8080"), Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return d, c, before
}

// On SIGTERM nothing more is accepted, and a connection that there is goes on to its
// end; then the daemon ends, and has left nothing.
func TestRunDrains(t *testing.T) {
	d, c, before := held(t, "--drain", limit.String())
	d.signal(syscall.SIGTERM)
	d.await("stopping")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if again, err := kernelpeer.Dial(ctx, d.ns, kernelpeer.ClientConfig{Remote: netip.MustParseAddrPort("127.0.0.1:8080")}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new connection: %v", err)
		_ = again.Close()
	}
	big := bytes.Repeat([]byte("y"), 1<<20)
	go func() { _, _ = c.Write(big); _ = c.CloseWrite() }()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if code := d.code(); code != exitOK || strings.Contains(d.log.String(), "cutting") {
		t.Errorf("exit code %d:\n%s", code, d.log.String())
	}
	unchanged(t, d.ns, before)
}

// What has not ended at the deadline is cut, and a second signal does not wait for it.
func TestRunCuts(t *testing.T) {
	for name, c := range map[string]struct {
		drain   string
		signals int
	}{"deadline": {"1ms", 1}, "second signal": {"1h", 2}} {
		t.Run(name, func(t *testing.T) {
			d, conn, before := held(t, "--drain", c.drain)
			d.signal(syscall.SIGTERM)
			if c.signals == 2 {
				d.await("stopping")
				d.signal(syscall.SIGINT)
			}
			if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client's end was %v, not a reset", err)
			}
			if code := d.code(); code != exitOK || !strings.Contains(d.log.String(), "cutting connections") {
				t.Errorf("exit code %d:\n%s", code, d.log.String())
			}
			unchanged(t, d.ns, before)
		})
	}
}

// After a kill -9 the next start takes back what was left, also if it has no use for
// it itself, and leaves nothing when it ends.
func TestRunAfterKill(t *testing.T) {
	tunHere(t)
	for name, args := range map[string][]string{"with NAT again": {"--nat"}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			host, _ := neighbours(t)
			dir := filepath.Join(t.TempDir(), "run")
			before := state(t, host)
			d := startDaemon(t, host, dir, "--nat")
			d.signal(syscall.SIGKILL)
			if code := d.code(); code != -1 {
				t.Errorf("exit code %d", code)
			}
			left := netstate.Diff(before, state(t, host))
			if !strings.Contains(left, "ip_forward = 1") || !strings.Contains(left, "table wskstackd-wsk0") || strings.Contains(left, "link wsk0") {
				t.Errorf("the kill has left\n%s", left)
			}
			d = startDaemon(t, host, dir, args...)
			if now := netstate.Diff(before, state(t, host)); strings.Contains(now, "ip_forward = 1") != (args != nil) {
				t.Errorf("the next one runs with\n%s", now)
			}
			d.stop()
			if !strings.Contains(d.log.String(), "took back") {
				t.Errorf("it did not say so:\n%s", d.log.String())
			}
			unchanged(t, host, before)
			if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the runtime directory is still there: %v", err)
			}
		})
	}
}

// A device that was there before is left as it was found, after a kill too.
func TestRunOnADeviceThatIsThere(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	h, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	dev := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "wsk0"}, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_NO_PI}
	if err := ns.Do(func() error { return netlink.LinkAdd(dev) }); err != nil {
		t.Fatal(err)
	}
	link, err := h.LinkByName("wsk0")
	if err != nil {
		t.Fatal(err)
	}
	// No link-local address, which the kernel would give it when it is attached to.
	if err := ns.SetSysctl("net.ipv6.conf.wsk0.addr_gen_mode", "1"); err != nil {
		t.Fatal(err)
	}
	_ = link
	before := state(t, ns)
	dir := t.TempDir()
	d := startDaemon(t, ns, dir)
	d.stop()
	unchanged(t, ns, before)
	d = startDaemon(t, ns, dir)
	d.signal(syscall.SIGKILL)
	d.code()
	if left := netstate.Diff(before, state(t, ns)); !strings.Contains(left, "198.18.77.1") {
		t.Errorf("the kill has left\n%s", left)
	}
	startDaemon(t, ns, dir).stop()
	unchanged(t, ns, before)
}

// A start that fails leaves nothing, and says in one line what is in the way.
func TestRunThatCannotStart(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	srv := serveIn(t, ns, "127.0.0.1:0", kernelpeer.Echo)
	before := state(t, ns)
	dir := filepath.Join(t.TempDir(), "run")
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"port taken", []string{"--nat", "--listen", srv.Addr().String()}, exitUnavailable, "is taken"},
		{"metrics' port taken", []string{"--metrics", srv.Addr().String()}, exitUnavailable, "--metrics"},
		{"no such address", []string{"--forward", "192.0.2.77:80=192.0.2.1:80"}, exitUnavailable, "no such address"},
		{"device is another's", []string{"--device", "lo"}, exitUnavailable, "taken"},
		{"not the stack's", []string{"--expose", "192.0.2.1:80=127.0.0.1:80"}, exitUsage, "the stack's addresses are"},
		{"network in use", []string{"--link", "127.0.0.5/8"}, exitUnavailable, "in use"},
	} {
		d := launchDaemon(t, ns, dir, append([]string{"--log-level", "error"}, c.args...)...)
		code := d.code()
		if said := d.log.String(); code != c.code || !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q, want %d and one line with %q", c.name, code, said, c.code, c.want)
		}
		unchanged(t, ns, before)
	}
	first := startDaemon(t, ns, dir)
	second := launchDaemon(t, ns, dir, "--device", "wsk1", "--listen", "127.0.0.1:1081")
	if code := second.code(); code != exitUnavailable || !strings.Contains(second.log.String(), "another wskstackd (process ") {
		t.Errorf("a second daemon: exit code %d, %q", code, second.log.String())
	}
	first.stop()
}

// A device that somebody deletes is the end, with an error.
func TestRunLosesItsDevice(t *testing.T) {
	tunHere(t)
	host, _ := neighbours(t)
	before := state(t, host)
	d := startDaemon(t, host, t.TempDir(), "--nat")
	h, err := host.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	link, err := h.LinkByName("wsk0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	if code := d.code(); code != exitFailure || !strings.Contains(d.log.String(), "wskstackd: the device wsk0 has failed") {
		t.Errorf("exit code %d:\n%s", code, d.log.String())
	}
	unchanged(t, host, before)
}

// What the operator does not want, the device does not do.
func TestRunWithoutOffload(t *testing.T) {
	tunHere(t)
	host, _ := neighbours(t)
	d := startDaemon(t, host, t.TempDir(), "--no-offload")
	d.stop()
	if log := d.log.String(); !strings.Contains(log, `"offload":false`) {
		t.Errorf("it has offloads:\n%s", log)
	}
}

// Without the privilege the line says which, and nothing is left.
func TestRunAsOrdinaryUser(t *testing.T) {
	r := ended(program(true, "run", "--listen", "127.0.0.1:0", "--runtime-dir", filepath.Join(os.TempDir(), fmt.Sprintf("wskstackd-test-%d", time.Now().UnixNano()))))
	if r.code != exitPermission && r.code != exitUnavailable || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "/dev/net/tun") && !strings.Contains(r.err, "CAP_NET_ADMIN") {
		t.Errorf("got %+v", r)
	}
}

// The README's commands of run work as they stand there, next to a server that has
// the address that they name.
func TestRunOfTheREADME(t *testing.T) {
	text := page(t, "README.md")
	command := regexp.MustCompile(`(?m)^/tmp/wskstackd run (.*)$`).FindStringSubmatch(text)
	requests := regexp.MustCompile(`(?m)^curl (.*)$`).FindAllStringSubmatch(text, -1)
	if command == nil || len(requests) < 3 {
		t.Fatalf("README.md has the command %q and %d requests", command, len(requests))
	}
	tunHere(t)
	host, other := neighbours(t)
	serveIn(t, other, "192.0.2.2:80", webServer)
	before := state(t, host)
	d := startDaemon(t, host, t.TempDir(), strings.Fields(command[1])...)
	for _, request := range requests {
		r := curl(t, host, strings.Fields(request[1])...)
		if want := map[bool]string{true: page1, false: "\nwskstackd_fastopen_client_accepted_total 1\n"}[strings.HasSuffix(request[1], "/page")]; r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("curl %s: %+v, want %q", request[1], r, want)
		}
	}
	d.stop()
	unchanged(t, host, before)
}

// nameServer answers every question for an IPv4 address with the one it is given, in
// a namespace, until the test ends.
func nameServer(t *testing.T, ns *netns.Namespace, at string, answer [4]byte) {
	t.Helper()
	var conn net.PacketConn
	err := ns.Do(func() (err error) { conn, err = net.ListenPacket("udp", at); return err })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 1<<10)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
					Body:   &dnsmessage.AResource{A: answer},
				}}
			}
			if reply, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
}

// With --dns a name server beyond the stack is asked, and what it says is held
// against the deny rules.
func TestRunAsksNamesThroughTheStack(t *testing.T) {
	tunHere(t)
	host, other := neighbours(t)
	srv := serveIn(t, other, "192.0.2.2:0", webServer)
	nameServer(t, other, "192.0.2.2:53", [4]byte{192, 0, 2, 2})
	nameServer(t, other, "192.0.2.2:54", [4]byte{127, 0, 0, 1}) // as for DNS rebinding
	url := fmt.Sprintf("http://www.wskstack.example:%d/page", srv.Addr().Port())
	for server, want := range map[string]string{"192.0.2.2": page1, "192.0.2.2:54": "(2)"} {
		d := startDaemon(t, host, t.TempDir(), "--nat", "--dns", server)
		if r := curl(t, host, "--socks5-hostname", "127.0.0.1:1080", url); !strings.Contains(r.out+r.err, want) {
			t.Errorf("%s: got %+v, want %q\n%s", server, r, want, d.log.String())
		}
		d.stop()
	}
}

// What a client has sent is delivered although both its connections are closed and the
// peer has not read it yet.
func TestRunDeliversBeforeItEnds(t *testing.T) {
	tunHere(t)
	ns := netnstest.New(t)
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	srv := serveIn(t, ns, "0.0.0.0:0", func(s *kernelpeer.Stream) error {
		if err := s.TCP().CloseWrite(); err != nil {
			return err
		}
		<-release
		return kernelpeer.Sink(s)
	})
	t.Cleanup(free) // before the server's end, which waits for the handler
	d := startDaemon(t, ns, t.TempDir(), "--drain", limit.String(), "--forward", fmt.Sprintf("127.0.0.1:8080=198.18.77.1:%d,wait=0s", srv.Addr().Port()))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	// More than the peer's kernel takes unread, and less than the stack holds besides.
	sent := bytes.Repeat([]byte("z"), 96<<10)
	c, err := kernelpeer.Dial(ctx, ns, kernelpeer.ClientConfig{Remote: netip.MustParseAddrPort("127.0.0.1:8080"), Data: sent})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); err != nil {
		t.Fatal(err)
	}
	d.signal(syscall.SIGTERM)
	for { // until nothing is accepted any more
		again, err := kernelpeer.Dial(ctx, ns, kernelpeer.ClientConfig{Remote: netip.MustParseAddrPort("127.0.0.1:8080")})
		if err != nil {
			break
		}
		_ = again.Close()
	}
	free()
	record, err := srv.Finished(ctx, 0)
	if err != nil || record.Err != nil || len(record.Received) != len(sent) {
		t.Errorf("%d bytes of %d, %v, %v", len(record.Received), len(sent), err, record.Err)
	}
	if code := d.code(); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, d.log.String())
	}
}
