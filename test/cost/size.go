package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// program is one that is built for its size.
type program struct{ name, source string }

// programs are the README's, and two to compare it with.
func programs(root string) ([]program, error) {
	page, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		return nil, err
	}
	_, rest, found := strings.Cut(string(page), "```go\n")
	source, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		return nil, errors.New("README.md has no program in a ```go block")
	}
	return []program{
		{"the README's: an HTTP client on a stack on a TUN", source},
		{"a client that dials, without net/http", bare},
		{"for comparison: an HTTP client on package net", ordinary},
	}, nil
}

const bare = `package main

import (
	"context"
	"net/netip"

	"github.com/wskstack/wskstack/stack"
	"github.com/wskstack/wskstack/stack/iolink"
	"github.com/wskstack/wskstack/tun"
)

func main() {
	dev, err := tun.Open(tun.Config{})
	if err != nil {
		panic(err)
	}
	link, err := iolink.New(dev, iolink.Config{})
	if err != nil {
		panic(err)
	}
	s, err := stack.New(stack.Config{Link: link, Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	c, err := s.DialContextData(context.Background(), "tcp", "10.9.0.1:80", []byte("hello"))
	if err != nil {
		panic(err)
	}
	c.Close()
}
`

const ordinary = `package main

import (
	"fmt"
	"net/http"
)

func main() {
	resp, err := http.Get("http://10.9.0.1/")
	if err != nil {
		panic(err)
	}
	fmt.Println(resp.Status)
}
`

// sizes builds the program twice and returns the sizes in bytes. It is put into the
// module through an overlay: nothing is written to the tree.
func (p program) sizes(root string) (whole, stripped int64, err error) {
	dir, err := os.MkdirTemp("", "wskstack-cost-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	source := filepath.Join(dir, "main.go")
	overlay := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(root, "cmd", "costprogram", "main.go"): source},
	})
	if err != nil {
		return 0, 0, err
	}
	if err := errors.Join(os.WriteFile(source, []byte(p.source), 0o600), os.WriteFile(overlay, text, 0o600)); err != nil {
		return 0, 0, err
	}
	build := func(flags ...string) (int64, error) {
		out := filepath.Join(dir, "program")
		args := append([]string{"build", "-overlay", overlay, "-o", out}, flags...)
		cmd := exec.Command("go", append(args, "./cmd/costprogram")...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%s does not build: %w\n%s", p.name, err, text)
		}
		info, err := os.Stat(out)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	if whole, err = build(); err != nil {
		return 0, 0, err
	}
	stripped, err = build("-ldflags=-s -w")
	return whole, stripped, err
}

// findRoot is the directory of the module that this is run in.
func findRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("there is no go.mod here or above: run it in the repository")
	}
	return filepath.Dir(mod), nil
}
