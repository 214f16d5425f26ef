package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// IO is what a command reads and writes.
type IO struct {
	In       *os.File
	Out, Err io.Writer
}

// Stdio is the program's own.
func Stdio() IO { return IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, stdio IO) int {
	ctx, stop := untilSignal(ctx)
	defer stop()
	defer keepPipeSignal()()
	out := &kept{w: stdio.Out}
	stdio.Out = out
	root := newRoot(stdio)
	root.SetOut(quiet{out})
	root.SetArgs(args)
	err := out.after(root.ExecuteContext(ctx))
	var child childExit
	var sig signalled
	switch {
	case err == nil, errors.As(err, &child):
	case errors.As(err, &sig):
		// What it interrupted is of no interest.
		fmt.Fprintf(stdio.Err, "wskstackd: %v\n", sig)
	default:
		fmt.Fprintf(stdio.Err, "wskstackd: %s\n", line(err))
	}
	return code(err)
}

// untilSignal ends the context when the program is asked to end. A second signal
// ends the program at once.
func untilSignal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(signalled{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
		<-ended
	}
}

// keepPipeSignal makes a closed pipe an error of the write, so that everything is
// undone. The signal is caught and not ignored: the commands that listen runs would
// inherit that, and the shell would not let them change it.
func keepPipeSignal() (stop func()) {
	signals := make(chan os.Signal, 1) // nobody reads them
	signal.Notify(signals, syscall.SIGPIPE)
	return func() { signal.Stop(signals) }
}

// newRoot builds the commands.
func newRoot(stdio IO) *cobra.Command {
	root := &cobra.Command{
		Use:   "wskstackd",
		Short: "TCP Fast Open in user space, shown and used",
		Long: `wskstackd runs wskstack, a TCP/IP stack in user space with TCP Fast Open (RFC 7413)
and sockets in the shape of Winsock Kernel.

Data goes to standard output, talk to standard error. NO_COLOR=1 switches colours
off. 'wskstackd help exit-codes' lists the exit codes.`,
		Example: `  wskstackd demo
  wskstackd demo --json --family 6
  printf 'GET / HTTP/1.0\r\n\r\n' | wskstackd connect --repeat 2 192.0.2.1:80
  wskstackd listen --http . :80
  wskstackd run --nat`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(stdio.In)
	root.SetOut(stdio.Out)
	root.SetErr(stdio.Err)
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w: see '%s --help'", err, cmd.CommandPath())
	})
	root.SetHelpCommand(newHelp())
	root.AddCommand(newDemo(stdio), newConnect(stdio), newListen(stdio), newRun(stdio), newBench(stdio), newWSK(stdio),
		newVersion(stdio), newExitCodes(stdio))
	for _, cmd := range append(root.Commands(), root) {
		cmd.Args = usageArgs(cmd.Args)
	}
	return root
}

// usageArgs makes the errors of a check of arguments the caller's mistakes.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%s: see '%s --help'", firstLine(err), cmd.CommandPath())
		}
		return nil
	}
}
