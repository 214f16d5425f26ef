// Wskstackd shows and uses wskstack from the command line.
//
//	wskstackd demo               Fast Open, shown with packets and counters
//	wskstackd connect HOST:PORT  netcat whose first bytes ride in the SYN
//	wskstackd listen [HOST]:PORT its other end, with data accepted in SYNs
//	wskstackd wsk run SCENARIO   Winsock Kernel calls, each IRP accounted for
//	wskstackd run                proxy and ports over the stack, for other programs
//	wskstackd version
//
// What it can do is in internal/cli; wskstackd help exit-codes lists how it ends.
package main

import (
	"context"
	"os"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Stdio()))
}
