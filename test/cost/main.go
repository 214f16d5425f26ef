// Command cost says what it costs to embed the stack: the size of the README's program,
// and memory and goroutines of idle connections. It needs no privilege and no device, and
// writes nothing but temporary files.
//
//	README.md ── the program ──► go build ──► bytes, with symbols and without
//
//	two stacks in memory ──► N connections that do nothing ──► heap, stacks, goroutines
//
// Both ends of each connection are in this process, so memory is shown for one end. It
// is the heap's and the goroutines' stacks after garbage collection, which does not
// depend on how busy the machine is. Who owns what: each measurement closes what it
// opened. Limits: buffers of an idle connection are empty; what fills them is the
// program's traffic. The size is that of the toolchain at hand, for the machine at hand.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"
)

func main() {
	n := flag.Int("connections", 5000, "how many idle `connections` to open")
	size := flag.Bool("size", true, "build the programs and show their sizes")
	flag.Parse()
	if err := run(os.Stdout, *n, *size); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, connections int, size bool) error {
	if connections < 1 || connections > 20000 {
		return fmt.Errorf("%d connections cannot be opened: choose 1 to 20000", connections)
	}
	fmt.Fprintf(w, "%s, %s/%s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if size {
		if err := tellSizes(w); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return tellIdle(w, connections)
}

func tellSizes(w io.Writer) error {
	root, err := findRoot()
	if err != nil {
		return err
	}
	programs, err := programs(root)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "program\tMB\tMB stripped")
	for _, p := range programs {
		whole, stripped, err := p.sizes(root)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\n", p.name, float64(whole)/1e6, float64(stripped)/1e6)
	}
	return t.Flush()
}

func tellIdle(w io.Writer, connections int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "each of %d idle connections\tbytes of heap, one end\tbytes of stack\tgoroutines\n", connections)
	for _, k := range kinds() {
		c, err := k.measure(connections)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%.2f\n", k.name, c.heap, c.stack, c.goroutines)
	}
	return t.Flush()
}
