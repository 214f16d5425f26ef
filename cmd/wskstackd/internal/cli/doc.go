// Package cli is the command line of wskstackd: commands, flags, help, what is
// printed where, and exit codes.
//
//	main ──► Main(ctx, args, IO) ──► cobra ──► demo, connect, listen, run, wsk, version
//	                │                             │
//	     exit code ◄┘◄── one line on stderr ◄─────┘ error
//
// Data goes to standard output and talk to standard error. An error is one line
// that says what went wrong and what to do; its kind decides the exit code, in
// one table (exit.go). NO_COLOR, a terminal that is none, and TERM=dumb switch
// colours off.
//
// The package has no state: each Main builds its own commands. Signals end what
// runs through its context, and everything is undone before Main returns.
package cli
