package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const (
	exitOK    = 0
	exitOwed  = 1
	exitUsage = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command without the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("coverage", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "print one JSON object")
	missing := flags.Bool("missing", false, "print only the delivered items that have no test")
	results := flags.String("results", "", "`file` written by go test -json; only tests that passed in it count")
	root := flags.String("root", "", "`directory` of the repository (default: the nearest one above with a go.mod)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "coverage: unexpected argument %q\n", flags.Arg(0))
		return exitUsage
	}

	rep, err := assemble(*root, *results)
	if err != nil {
		fmt.Fprintln(stderr, "coverage:", err)
		return exitUsage
	}
	switch {
	case *asJSON:
		err = rep.writeJSON(stdout)
	case *missing:
		err = rep.writeMissing(stdout)
	default:
		err = rep.writeTable(stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "coverage:", err)
		return exitUsage
	}
	for _, p := range rep.Problems {
		fmt.Fprintln(stderr, "coverage:", p)
	}
	if !rep.OK {
		return exitOwed
	}
	return exitOK
}

// assemble reads the pages and the tests below root and joins them.
func assemble(root, results string) (report, error) {
	if root == "" {
		found, err := findRoot()
		if err != nil {
			return report{}, err
		}
		root = found
	}
	items, err := readPages(root)
	if err != nil {
		return report{}, err
	}
	refs, problems, err := scanTests(root)
	if err != nil {
		return report{}, err
	}
	if results != "" {
		if refs, err = keepPassed(refs, results); err != nil {
			return report{}, err
		}
	}
	return join(items, refs, problems), nil
}

// findRoot returns the nearest directory, from the working directory upwards,
// that holds a go.mod.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod here or above; run it inside the repository or give --root")
		}
		dir = parent
	}
}
