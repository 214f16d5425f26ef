package programs

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/test/covers"
	"github.com/wskstack/wskstack/test/kernelpeer"
)

// nginxPort is free: the namespace is the test's own.
const nginxPort = 8080

// configuration is nginx in one process that stays in front and keeps all its files
// in one directory.
const configuration = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr notice;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]v fastopen=16;
		root %[1]s/root;
	}
}
`

// nginx starts nginx in the kernel's namespace with one file to serve, and returns
// when it listens.
func (r *rig) nginx(name, content string) netip.AddrPort {
	r.t.Helper()
	dir := r.t.TempDir()
	at := netip.AddrPortFrom(r.wire.PeerAddr(r.family), nginxPort)
	conf := filepath.Join(dir, "nginx.conf")
	check(r.t, os.WriteFile(conf, fmt.Appendf(nil, configuration, dir, at), 0o600))
	check(r.t, os.Mkdir(filepath.Join(dir, "root"), 0o700))
	check(r.t, os.WriteFile(filepath.Join(dir, "root", name), []byte(content), 0o600))

	cmd := exec.CommandContext(r.ctx, "nginx", "-p", dir, "-c", conf, "-e", "stderr")
	errs, err := cmd.StderrPipe()
	check(r.t, err)
	r.start(cmd)
	talk := bufio.NewReader(errs)
	var said strings.Builder
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		rest, _ := io.ReadAll(talk)
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("nginx said:\n%s%s", said.String(), rest)
		}
	})
	// It speaks of the system that it runs on when its sockets listen.
	for !strings.Contains(said.String(), " OS: ") {
		line, err := talk.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			r.t.Fatalf("nginx ended: %v", err)
		}
	}
	return at
}

// get asks for a file in the connect call, and returns the answer and what Fast
// Open did.
func (r *rig) get(from netip.AddrPort, name string) (string, stack.FastOpenInfo) {
	r.t.Helper()
	request := fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: %v\r\nConnection: close\r\n\r\n", name, from)
	conn, err := (&stack.Dialer{Stack: r.stack}).DialTCPData(r.ctx, "tcp", netip.AddrPort{}, from, []byte(request))
	check(r.t, err)
	defer conn.Close()
	deadline, _ := r.ctx.Deadline()
	check(r.t, conn.SetDeadline(deadline))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	check(r.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(r.t, err)
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Server"), "nginx") {
		r.t.Errorf("status %d, server %q", answer.StatusCode, answer.Header.Get("Server"))
	}
	info := conn.FastOpenInfo()
	if inSYN := info.BytesInSYN; inSYN != 0 && inSYN != len(request) {
		r.t.Errorf("%d of %d bytes in the SYN", inSYN, len(request))
	}
	return string(body), info
}

// Our request leaves in the SYN as soon as nginx's kernel has given a cookie, and
// nginx answers it.
func TestNginxIsTheServer(t *testing.T) {
	covers.IDs(t, "B-11", "C-02")
	families(t, "nginx", func(t *testing.T, r *rig) {
		content := text(300_000)
		at := r.nginx("file", content)
		const rounds = 4
		for i := range rounds {
			body, info := r.get(at, "file")
			if body != content {
				t.Errorf("round %d: %d bytes of %d", i+1, len(body), len(content))
			}
			if accepted := info.BytesAccepted > 0 && info.BytesAccepted == info.BytesInSYN; accepted != (i > 0) {
				t.Errorf("round %d: %d bytes in the SYN, %d accepted, %v", i+1, info.BytesInSYN, info.BytesAccepted, info.Reason)
			}
		}
		r.counted(kernelpeer.Counters{Passive: rounds - 1, CookieReqd: 1})
	})
}
