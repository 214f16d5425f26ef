package netns_test

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/wskstack/wskstack/test/netns"
)

// roleEnv makes the test binary play another program: the one that calls Reexec
// or the one that Reexec starts.
const roleEnv = "NETNS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleEnv); {
	case role == "":
		goleak.VerifyTestMain(m)
	case netns.InChild() == netns.NotChild:
		os.Exit(playParent())
	default:
		os.Exit(playChild(role))
	}
}

// playParent is a program that runs itself in a namespace.
func playParent() int {
	code, err := netns.Reexec(netns.Command{Args: []string{"one", "two"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return code
}

// playChild is that program inside.
func playChild(role string) int {
	switch role {
	case "report":
		return report()
	case "wait-for-signal":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		fmt.Println("ready")
		<-signals
		return 7
	case "wait-for-ever":
		fmt.Println("ready")
		select {}
	case "copy":
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			return 1
		}
		return 3
	case "die":
		// os.Exit is not how a killed program ends.
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return 98
}

// report prints who and where the child is.
func report() int {
	fmt.Println("child", netns.InChild())
	fmt.Println("uid", os.Getuid())
	fmt.Println("args", os.Args[1:])
	ns, err := os.Readlink("/proc/self/ns/net")
	fmt.Println("ns", ns, err)
	if err := netns.Available(); err != nil {
		fmt.Println("available", err)
		return 1
	}
	inner, err := netns.New()
	if err != nil {
		fmt.Println("new", err)
		return 1
	}
	defer inner.Close()
	if err := inner.SetSysctl("net.ipv4.tcp_fastopen", "3"); err != nil {
		fmt.Println("sysctl", err)
		return 1
	}
	if err := inner.LinkUp("lo"); err != nil {
		fmt.Println("link", err)
		return 1
	}
	fmt.Println("available yes")
	return 0
}
