package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/fault"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/rundir"
)

// tableName is the name of the table for a device. There is one device of a name,
// so nobody else has a table of this one.
func tableName(device string) string { return "wskstackd-" + device }

// table is the firewall table of one device.
type table struct {
	name, device string
	sources      []source
	off          []*family // those that were not forwarded before
}

// source is an address of the stack.
type source struct {
	family *family
	addr   netip.Addr
}

func (t *table) add(f *family, a netip.Addr, was bool) {
	t.sources = append(t.sources, source{f, a})
	if !was {
		t.off = append(t.off, f)
	}
}

// install makes the table, in place of one of a daemon that was killed, in one
// transaction.
func (t *table) install() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	tab := &nftables.Table{Family: nftables.TableFamilyINet, Name: t.name}
	c.AddTable(tab) // so that there is one to delete
	c.DelTable(tab)
	c.AddTable(tab)
	t.postrouting(c, tab)
	t.forward(c, tab)
	return explain(c.Flush())
}

// postrouting gives the stack's packets the host's address, but on their way back
// to the stack.
func (t *table) postrouting(c *nftables.Conn, tab *nftables.Table) {
	chain := c.AddChain(&nftables.Chain{
		Name: "postrouting", Table: tab, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	for _, s := range t.sources {
		e := append(isFamily(s.family),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: s.family.offset, Len: s.family.size},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: s.addr.AsSlice()})
		e = append(e, t.interfaceIs(expr.MetaKeyOIFNAME, expr.CmpOpNeq)...)
		c.AddRule(&nftables.Rule{Table: tab, Chain: chain, Exprs: append(e, &expr.Masq{})})
	}
}

// forward lets the stack's connections through, and nothing else of a family that
// was not forwarded before.
func (t *table) forward(c *nftables.Conn, tab *nftables.Table) {
	chain := c.AddChain(&nftables.Chain{
		Name: "forward", Table: tab, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	rule := func(e ...expr.Any) { c.AddRule(&nftables.Rule{Table: tab, Chain: chain, Exprs: e}) }
	accept, drop := &expr.Verdict{Kind: expr.VerdictAccept}, &expr.Verdict{Kind: expr.VerdictDrop}
	rule(append(t.interfaceIs(expr.MetaKeyIIFNAME, expr.CmpOpEq), accept)...)
	back := t.interfaceIs(expr.MetaKeyOIFNAME, expr.CmpOpEq)
	back = append(back,
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED),
			Xor:  binaryutil.NativeEndian.PutUint32(0),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
		accept)
	rule(back...)
	for _, f := range t.off {
		rule(append(isFamily(f), drop)...)
	}
}

func isFamily(f *family) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{f.proto}},
	}
}

// interfaceIs compares the name of a packet's interface with the device's.
func (t *table) interfaceIs(key expr.MetaKey, op expr.CmpOp) []expr.Any {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, t.device)
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: op, Register: 1, Data: name},
	}
}

// removeTable removes a table if it is there.
func removeTable(change rundir.Change) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	tab := &nftables.Table{Family: nftables.TableFamilyINet, Name: change.Name}
	c.AddTable(tab) // so that there is one to delete
	c.DelTable(tab)
	return explain(c.Flush())
}

// explain says what the kernel's refusal means.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fault.New(os.ErrPermission, "may not change the firewall (%v): run as root, or with CAP_NET_ADMIN", err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fault.New(fault.ErrUnavailable, "the kernel has no nftables with NAT in the family inet (%v): load nf_tables, nft_chain_nat and nft_masq (Linux 5.2 or later), or leave --nat out", err)
	}
	return fmt.Errorf("changing the firewall: %w", err)
}
