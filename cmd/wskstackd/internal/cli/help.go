package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Help has the examples first: they are what most people look for.
const (
	helpTemplate = `{{.Short}}

{{if .HasExample}}Examples:
{{.Example}}

{{end}}{{with .Long}}{{. | trimTrailingWhitespaces}}

{{end}}{{if or .Runnable .HasSubCommands}}{{.UsageString}}{{end}}`

	usageTemplate = `Usage:
  {{.UseLine}}{{if .HasAvailableSubCommands}} COMMAND

Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasHelpSubCommands}}

More help:{{range .Commands}}{{if .IsAdditionalHelpTopicCommand}}
  {{rpad .CommandPath .CommandPathPadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`
)

// newHelp is cobra's help command, but for a topic that is unknown: an error.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Example: "  wskstackd help connect\n  wskstackd help exit-codes",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || about == nil || len(rest) > 0 {
				return usagef("there is no help about %q: see 'wskstackd --help'", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag() // so that it is in the help
			return about.Help()
		},
	}
}

// newExitCodes is a page of help.
func newExitCodes(IO) *cobra.Command {
	var b strings.Builder
	for _, row := range exitTable {
		fmt.Fprintf(&b, "  %-6s %s\n", row.code, row.text)
	}
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "How wskstackd ends",
		Long:  b.String(),
		Args:  cobra.ArbitraryArgs,
	}
}

// firstLine is the first line of an error: cobra adds suggestions below it.
func firstLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}
