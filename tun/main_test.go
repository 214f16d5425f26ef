package tun

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/refs"
)

// childEnv names what the test binary does when it is run as a child.
const childEnv = "TUN_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		refs.SetLeakMode(refs.LeaksPanic)
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			if code == 0 {
				refs.DoLeakCheck() // of the stacks that some tests put on a device
			}
			os.Exit(code)
		}))
	case "count":
		// Prints how many descriptors on the TUN driver it was born with.
		fmt.Println(len(descriptorsOn(nodePath)))
	case "hold":
		// Opens the device named in the arguments and holds it until killed.
		d, err := Open(Config{Name: os.Args[1], Addresses: prefixes("192.0.2.1/24"), Routes: prefixes("198.51.100.0/24")})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("holding", d.Name())
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
}

func child(mode string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	// The race detector would hold a child's end up for a second.
	cmd.Env = append(os.Environ(), childEnv+"="+mode, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// holder starts a child that opens the device name in the namespace of the
// calling thread, and returns once it has it.
func holder(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	cmd := child("hold", name)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // an error when the test has killed or awaited it
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "holding") {
		t.Fatalf("the child did not open %s: %q, %v", name, line, err)
	}
	return cmd
}

// descriptorsOn lists this process's descriptors that are open on a path.
func descriptorsOn(path string) []string {
	var out []string
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == path {
			out = append(out, e.Name())
		}
	}
	return out
}
