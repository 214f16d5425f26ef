package tun

import (
	"errors"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attachment is a device with our queues, opened by water.
type attachment struct {
	files   []*os.File // one per queue, at least one
	name    string
	index   int
	created bool
	// offload is what the device agreed to.
	offload offload
	// spare puts the flags of an adopted device back; nil: nothing to restore.
	spare *node
	// flags are those that spare puts back.
	flags uint16
}

// openQueues opens n queues through water, all or none.
func openQueues(name string, persist, multiQueue bool, n int) (files []*os.File, err error) {
	for range n {
		file, err := openWater(name, persist, multiQueue)
		if err != nil {
			return nil, errors.Join(err, closeAll(files))
		}
		files = append(files, file)
	}
	return files, nil
}

func closeAll(files []*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// attach adopts the device that is there, or creates one. It runs on a thread
// in the device's namespace. On failure it leaves nothing behind.
func attach(k kernel, nl *links, cfg *Config) (*attachment, error) {
	if cfg.Name != "" {
		link, err := nl.byName(cfg.Name)
		if err != nil {
			return nil, fail(ErrSystem, "cannot look up %s: %v", cfg.Name, err)
		}
		if link != nil {
			return adopt(k, nl, cfg, link)
		}
	}
	return create(k, nl, cfg)
}

// create makes a new device. A queue of ours comes first and claims the name
// with IFF_TUN_EXCL: what exists is never taken for created, and water's queues,
// which join later, cannot fail for want of privilege or of the name. Ours
// closes before the link is up, so that no packet is ever queued on it.
//
// The first queue decides the framing for all: water asks for bare packets, and
// gets virtio_net headers nevertheless because ours was there before it. (The
// kernel takes the flags over from a queue that is alone, and ignores those of
// the ones that join.)
//
// Two queues need a multi-queue device, and anybody may join one that has no
// owner: so it gets one at once.
func create(k kernel, nl *links, cfg *Config) (_ *attachment, err error) {
	first, err := openNode()
	if err != nil {
		return nil, err
	}
	defer first.close()

	name, flags, err := k.claim(first, cfg.Name, baseFlags|unix.IFF_MULTI_QUEUE|cfg.vnetFlag(), unix.IFF_TUN_EXCL)
	if err != nil {
		return nil, createError(cfg.Name, err)
	}
	if err := setOwners(first, name, cfg); err != nil {
		return nil, err
	}
	files, err := openQueues(name, false, true, cfg.queues())
	if err != nil {
		return nil, fail(ErrSystem, "cannot attach to the new device %s: %v", name, err)
	}
	a := &attachment{files: files, name: name, created: true}
	if err := a.verify(nl, flags); err != nil {
		_ = closeAll(files)
		return nil, err
	}
	if err := a.offload.negotiate(k, cfg, name, files[0]); err != nil {
		a.abandon()
		return nil, err
	}
	return a, nil
}

func setOwners(n *node, name string, cfg *Config) error {
	owner := uint32(os.Geteuid())
	if cfg.Owner != nil {
		owner = *cfg.Owner
	}
	err := n.setOwner(owner)
	// A user namespace without a mapping for our user has no number for it, and
	// nobody else in it either: then the device stays without an owner.
	if err != nil && (cfg.Owner != nil || !errors.Is(err, unix.EINVAL)) {
		return fail(ErrBadConfig, "cannot give %s to the user %d: %v", name, owner, err)
	}
	if cfg.Group == nil {
		return nil
	}
	if err := n.setGroup(*cfg.Group); err != nil {
		return fail(ErrBadConfig, "cannot give %s to the group %d: %v", name, *cfg.Group, err)
	}
	return nil
}

// adopt attaches to a persistent device that nobody holds.
func adopt(k kernel, nl *links, cfg *Config, link netlink.Link) (_ *attachment, err error) {
	dev, err := adoptable(cfg, link)
	if err != nil {
		return nil, err
	}
	name, had := cfg.Name, flagsOf(dev)
	flags := uint16(baseFlags) | had&unix.IFF_MULTI_QUEUE
	if flags&unix.IFF_MULTI_QUEUE != 0 {
		flags |= cfg.vnetFlag() // ours has to be there when water comes, so two are needed
	} else if cfg.queues() > 1 {
		return nil, fail(ErrBadConfig, "%s has room for one queue only, %d are wanted: make it with 'ip tuntap add dev %s mode tun multi_queue', or leave Queues unset", name, cfg.queues(), name)
	}

	// Ours first here too: it finds out what is forbidden, and why.
	first, err := openNode()
	if err != nil {
		return nil, err
	}
	defer first.close()
	if _, flags, err = k.claim(first, name, flags, 0); err != nil {
		return nil, adoptError(name, err)
	}
	if flags&unix.IFF_MULTI_QUEUE == 0 {
		first.close() // there is room for one queue only
	}
	files, err := openQueues(name, true, flags&unix.IFF_MULTI_QUEUE != 0, cfg.queues())
	if err != nil {
		return nil, adoptError(name, err)
	}
	a := &attachment{files: files, name: name, flags: had}
	if err := a.verify(nl, flags); err != nil {
		_ = closeAll(files)
		return nil, err
	}
	if a.index != dev.Index {
		// The device was deleted meanwhile, and water has created another.
		a.discard()
		return nil, fail(ErrBusy, "%s was deleted while it was being opened: try again", name)
	}
	if had != flags {
		if a.spare, err = openNode(); err != nil {
			_ = closeAll(files)
			return nil, err
		}
	}
	if err := a.offload.negotiate(k, cfg, name, files[0]); err != nil {
		a.abandon()
		return nil, err
	}
	return a, nil
}

// adoptable says why a link that has the name cannot be used.
func adoptable(cfg *Config, link netlink.Link) (*netlink.Tuntap, error) {
	attrs := link.Attrs()
	if attrs.Name != cfg.Name {
		return nil, fail(ErrBusy, "the name %s is another name of the interface %s: choose a different one", cfg.Name, attrs.Name)
	}
	dev, ok := link.(*netlink.Tuntap)
	if !ok {
		return nil, fail(ErrBusy, "the name %s is taken by an interface of the kind %q: choose a different one", cfg.Name, link.Type())
	}
	if dev.Mode != unix.IFF_TUN {
		return nil, fail(ErrBusy, "%s is a TAP (mode tap), a TUN is needed: choose a different name", cfg.Name)
	}
	if dev.Queues+dev.DisabledQueues > 0 || dev.NonPersist {
		return nil, busy(cfg.Name)
	}
	if cfg.Owner != nil || cfg.Group != nil {
		return nil, fail(ErrBadConfig, "%s exists, its owner is not changed: leave Owner and Group unset, or delete it first", cfg.Name)
	}
	return dev, nil
}

func busy(name string) error {
	return fail(ErrBusy, "%s is held by %s: stop it, or choose a different name", name, holders(name))
}

// flagsOf returns the flags of a device as rtnetlink shows them.
func flagsOf(dev *netlink.Tuntap) uint16 {
	return uint16(dev.Mode) | uint16(dev.Flags)&framingFlags
}

// verify asks water's queue what it is really attached to, and how.
func (a *attachment) verify(nl *links, want uint16) error {
	raw, err := a.files[0].SyscallConn()
	if err != nil {
		return fail(ErrSystem, "cannot reach the descriptor of %s: %v", a.name, err)
	}
	var have uint16
	var askErr error
	if err := raw.Control(func(fd uintptr) { have, askErr = deviceFlags(int(fd)) }); err != nil {
		return fail(ErrSystem, "cannot reach the descriptor of %s: %v", a.name, err)
	}
	if askErr != nil {
		return fail(ErrSystem, "cannot ask %s for its flags: %v", a.name, askErr)
	}
	// Whether packets have a header is agreed on later, as the device is.
	if (have^want)&framingFlags&^unix.IFF_VNET_HDR != 0 {
		return fail(ErrBusy, "%s was opened with other flags by somebody else (%s): choose a different name", a.name, differing(have&framingFlags, want))
	}
	link, err := nl.byName(a.name)
	if err != nil || link == nil {
		return fail(ErrSystem, "cannot find %s after opening it: %v", a.name, err)
	}
	a.index = link.Attrs().Index
	return nil
}

// discard removes a device that should not be there: it takes the persist flag
// away that water has set, and closes.
func (a *attachment) discard() {
	if raw, err := a.files[0].SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = setPersist(int(fd), false) })
	}
	_ = closeAll(a.files)
}

// abandon lets go of a device that cannot be used.
func (a *attachment) abandon() {
	_ = closeAll(a.files)
	if a.spare != nil {
		a.spare.close()
	}
}

// release closes the queues. A device that was created is gone afterwards unless
// it was made persistent; one that was adopted gets its flags back, which the
// kernel takes from the first queue to attach. What the kernel may leave undone
// is the device's property and would outlast us: it is taken back first.
func (a *attachment) release(nl *links) error {
	a.offload.withdraw(a.files[0])
	err := closeAll(a.files)
	if a.spare == nil {
		return err
	}
	defer a.spare.close()
	link, lookErr := nl.byIndex(a.index) // it may have been renamed
	if lookErr != nil || link == nil {
		return errors.Join(err, lookErr) // deleted: nothing to restore
	}
	if _, attachErr := a.spare.attach(link.Attrs().Name, a.flags); attachErr != nil {
		return errors.Join(err, attachErr)
	}
	return err
}

// createError explains a refused TUNSETIFF for a new device.
func createError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fail(ErrNoPrivilege, "may not create a TUN device (%v): run as root (CAP_NET_ADMIN), or let an administrator prepare one with 'ip tuntap add dev NAME mode tun user USER' and name it", err)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return fail(ErrBusy, "the name %s was taken by somebody else just now: choose a different one", name)
	case errors.Is(err, unix.ENOTTY):
		return nodeError(err)
	case errors.Is(err, unix.EINVAL):
		return fail(ErrSystem, "the kernel refuses the device %q (%v): it needs Linux 3.8 or later and a name that is not reserved", name, err)
	}
	return fail(ErrSystem, "cannot create the device %q: %v", name, err)
}

// adoptError explains a refused TUNSETIFF for a device that exists.
func adoptError(name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fail(ErrNoPrivilege, "may not use %s, it belongs to another user (%v): run as its owner or as root, 'ip -d link show %s' shows the owner", name, err, name)
	case errors.Is(err, unix.EBUSY):
		return busy(name)
	case errors.Is(err, unix.EINVAL):
		return fail(ErrBusy, "%s has changed its mode or its multi_queue flag just now (%v): try again", name, err)
	}
	return fail(ErrSystem, "cannot attach to %s: %v", name, err)
}
