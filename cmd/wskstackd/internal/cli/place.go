package cli

import (
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/netcat"
)

// noOffloadHelp is of a flag of all commands that open a TUN.
const noOffloadHelp = "let the TUN carry ordinary packets with complete checksums only:\nslower by far, for captures and where offloads are suspected"

// talkFlags are those that connect and listen have in common, and that netcat
// itself has no use for.
type talkFlags struct {
	link    string
	output  string
	json    bool
	verbose bool
}

// register adds the flags that connect and listen have in common.
func (f *talkFlags) register(cmd *cobra.Command, p *netcat.Place, family string) {
	flags := cmd.Flags()
	flags.IntVar(&p.Family, "family", 0, family)
	flags.StringVar(&p.Namespace, "netns", "", "join the network namespace at `PATH` instead of the own one")
	flags.StringVar(&p.Device, "device", "", "`name` of the TUN device (default: the kernel's choice)")
	flags.BoolVar(&p.NoOffload, "no-offload", false, noOffloadHelp)
	flags.StringVar(&f.link, "link", "", "the host's `ADDRESS/BITS` on the network between it and this program,\nwhich takes the next address (default: one that is free)")
	flags.StringVarP(&f.output, "output", "o", "", "write what the peer sends to `FILE` instead of standard output")
	flags.BoolVar(&f.json, "json", false, "print one JSON object for each connection on standard output")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "say on standard error what happens")
}

// place fills in what the flags mean.
func (f *talkFlags) place(p *netcat.Place) error {
	if f.link == "" {
		return nil
	}
	link, err := parseLink(f.link)
	p.Link = link
	return err
}

// parseLink reads the host's address on a link.
func parseLink(text string) (netip.Prefix, error) {
	link, err := netip.ParsePrefix(text)
	if err != nil {
		return link, usagef("--link %q is no address with a prefix length: write 198.18.77.1/30 or fd00::1/126", text)
	}
	return link, nil
}
