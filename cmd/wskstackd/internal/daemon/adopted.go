package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/rundir"
)

// kindDevice is the kind of the change to a device that was there before: it would
// stay if the daemon were killed, as a device that the daemon makes does not.
const kindDevice = "device"

// settings are those of a device that tun.Open may change.
type settings struct {
	Index     int            `json:"index"`
	Up        bool           `json:"up"`
	Addresses []netip.Prefix `json:"addresses"`
}

// recordDevice writes down what a device is like, if it is there, before it is given
// addresses.
func recordDevice(d *rundir.Dir, name string, add []netip.Prefix) error {
	now, err := settingsOf(name)
	if err != nil || now == nil {
		return err
	}
	was, err := json.Marshal(now)
	if err != nil {
		return err
	}
	is, err := json.Marshal(add)
	if err != nil {
		return err
	}
	return d.Record(rundir.Change{Kind: kindDevice, Name: name, Was: string(was), Is: string(is)})
}

// settingsOf is nil if there is no such device.
func settingsOf(name string) (*settings, error) {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the device %s: %w", name, err)
	}
	s := &settings{Index: link.Attrs().Index, Up: link.Attrs().RawFlags&unix.IFF_UP != 0}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("listing the addresses of %s: %w", name, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.IPNet.String()); err == nil {
			s.Addresses = append(s.Addresses, p)
		}
	}
	return s, nil
}

// undoDevice takes addresses away that were not there before, and takes the link
// down if it was. A device that is gone, or another of the same name, is left alone.
func undoDevice(c rundir.Change) error {
	var was settings
	var added []netip.Prefix
	if err := errors.Join(json.Unmarshal([]byte(c.Was), &was), json.Unmarshal([]byte(c.Is), &added)); err != nil {
		return fmt.Errorf("the journal's entry for the device %s: %w", c.Name, err)
	}
	now, err := settingsOf(c.Name)
	if err != nil || now == nil || now.Index != was.Index {
		return err
	}
	link, err := netlink.LinkByIndex(was.Index)
	if err != nil {
		return fmt.Errorf("looking for the device %s: %w", c.Name, err)
	}
	var errs []error
	for _, p := range added {
		if slices.Contains(was.Addresses, p) || !slices.Contains(now.Addresses, p) {
			continue
		}
		mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
		errs = append(errs, netlink.AddrDel(link, &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: mask}}))
	}
	if now.Up && !was.Up {
		errs = append(errs, netlink.LinkSetDown(link))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("putting back the device %s (index %s): %w", c.Name, strconv.Itoa(was.Index), err)
	}
	return nil
}
