// Wskstackd shows and uses wskstack from the command line.
//
//	wskstackd demo               Fast Open, shown with packets and counters
//	wskstackd connect HOST:PORT  netcat whose first bytes ride in the SYN
//	wskstackd version
//
// What it can do is in internal/cli; wskstackd help exit-codes lists how it ends.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/cli"
)

func main() {
	// A closed pipe is an error of the write, so that everything is undone.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Stdio()))
}
