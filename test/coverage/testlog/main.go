// Testlog reads what "go test -json" prints from its standard input and prints
// what a person wants of it: go's own line for each package, the whole output of
// a test that failed, each skipped test with its reason, and the totals.
//
//	go test -race -json ./... | go run ./test/coverage/testlog --no-skips
//
// With --no-skips a skipped test is a failure, and so is output that holds the
// mark SKIP-PRIVILEGE, with which a test says that it left a part out: for
// machines that grant everything a test may need.
//
// Exit codes: 0 all passed, 1 a test or a build failed, a test was skipped that
// may not be, or no test ran at all, 2 wrong usage or unreadable input.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// skipMark is what a test prints that leaves a part of itself out for want of a
// privilege.
const skipMark = "SKIP-PRIVILEGE"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("testlog", flag.ContinueOnError)
	flags.SetOutput(stderr)
	noSkips := flags.Bool("no-skips", false, "fail if a test was skipped")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	log := tally{out: stdout, output: map[string][]string{}}
	if err := log.read(stdin); err != nil {
		fmt.Fprintln(stderr, "testlog:", err)
		return exitUsage
	}
	return log.verdict(*noSkips)
}

// event is one line of go test -json, see "go doc test2json".
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// tally collects events. Output of a test is kept until the test has ended.
type tally struct {
	out     io.Writer
	output  map[string][]string // by package and test
	passed  int
	failed  int
	skipped []skipped
	marks   []skipped
	broken  bool // a package failed, by a test or by its build
}

// skipped is a test that was skipped, or that said with skipMark that it left
// something out.
type skipped struct{ key, reason string }

// reason is what a skipped test said, in one line.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

func (l *tally) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// Not an event: go itself talks, about downloads or a bad flag.
			fmt.Fprintln(l.out, lines.Text())
			continue
		}
		l.take(e)
	}
	return lines.Err()
}

func (l *tally) take(e event) {
	key := e.Package + "." + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(l.out, e.Output)
	case "output":
		l.text(key, e)
	case "fail":
		l.broken = true
		if e.Test != "" {
			l.failed++
			l.flush(key)
		}
	case "skip":
		if e.Test != "" {
			l.skipped = append(l.skipped, skipped{key, reason(l.output[key])})
		}
		delete(l.output, key)
	case "pass":
		if e.Test != "" {
			l.passed++
		}
		delete(l.output, key)
	}
}

// text keeps a test's output and prints a package's.
func (l *tally) text(key string, e event) {
	if strings.Contains(e.Output, skipMark) {
		l.marks = append(l.marks, skipped{key, strings.TrimSpace(e.Output)})
	}
	switch {
	case e.Test != "":
		l.output[key] = append(l.output[key], e.Output)
	case e.Output != "PASS\n" && e.Output != "FAIL\n":
		fmt.Fprint(l.out, e.Output)
	}
}

func (l *tally) flush(key string) {
	fmt.Fprintf(l.out, "%s:\n", key)
	for _, text := range l.output[key] {
		fmt.Fprint(l.out, "    ", text)
	}
	delete(l.output, key)
}

// verdict prints the totals and returns the exit code.
func (l *tally) verdict(noSkips bool) int {
	if l.broken {
		// A test that a panic or a time limit cut short has no end of its own.
		for key := range l.output {
			l.flush(key)
		}
	}
	for _, m := range l.marks {
		if !slices.ContainsFunc(l.skipped, func(s skipped) bool { return s.key == m.key }) {
			l.skipped = append(l.skipped, skipped{m.key + " (in part)", m.reason})
		}
	}
	for _, skip := range l.skipped {
		fmt.Fprintf(l.out, "skipped: %s: %s\n", skip.key, skip.reason)
	}
	fmt.Fprintf(l.out, "tests: %d passed, %d failed, %d skipped\n", l.passed, l.failed, len(l.skipped))
	switch {
	case l.broken:
		fmt.Fprintln(l.out, "FAIL")
	case l.passed == 0:
		fmt.Fprintln(l.out, "FAIL: no test ran")
	case noSkips && len(l.skipped) > 0:
		fmt.Fprintln(l.out, "FAIL: this machine has every privilege that a test may need, so nothing may be skipped")
	default:
		fmt.Fprintln(l.out, "PASS")
		return exitOK
	}
	return exitFailed
}
