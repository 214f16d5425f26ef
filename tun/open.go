package tun

// Open opens the device that cfg describes and gives it its addresses and
// routes. On failure nothing is left behind: no device, address, route or
// descriptor. The error is one line, and one of the kinds above for errors.Is.
//
// When Open returns, the device is up and the kernel answers on its addresses:
// IPv6 addresses skip duplicate address detection, and Open waits for the kernel
// to take them into use (at most 5 seconds, normally below a millisecond).
//
// Open needs CAP_NET_ADMIN in the namespace to create a device or to change one
// (and CAP_SYS_ADMIN to enter another namespace); a device that was prepared for
// this user, is up and has what cfg asks for, needs none.
func Open(cfg Config) (*Device, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.NoOffload = cfg.NoOffload || neverOffload
	var d *Device
	err := inNamespace(cfg.Namespace, func() (err error) {
		d, err = open(&cfg, systemKernel())
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// open does the work of Open, on a thread in the device's namespace.
func open(cfg *Config, k kernel) (*Device, error) {
	nl, err := openLinks()
	if err != nil {
		return nil, err
	}
	a, err := attach(k, nl, cfg)
	if err != nil {
		nl.close()
		return nil, err
	}
	j := &journal{}
	j.record("the device", func() error { return a.release(nl) })
	d, err := finish(nl, j, a, cfg)
	if err != nil {
		if undoErr := j.undo(); undoErr != nil && !a.created {
			err = withUndo(err, undoErr)
		}
		nl.close()
		return nil, err
	}
	return d, nil
}

// finish sets up the link of an attached device and builds the Device.
func finish(nl *links, j *journal, a *attachment, cfg *Config) (*Device, error) {
	s := &setup{nl: nl, j: j, name: a.name, index: a.index}
	mtu, err := s.run(cfg)
	if err != nil {
		return nil, err
	}
	d := &Device{
		name:    a.name,
		mtu:     mtu,
		offers:  a.offload.offers,
		files:   a.files,
		nl:      nl,
		journal: j,
		log:     cfg.Logger,
		queues:  make([]queue, len(a.files)),
		// Everything set on it ends with it.
		ephemeral: a.created && !cfg.Persist,
	}
	for i, file := range a.files {
		raw, err := file.SyscallConn()
		if err != nil {
			return nil, fail(ErrSystem, "cannot reach the descriptor of %s: %v", a.name, err)
		}
		d.queues[i].init(raw, d, a.offload.headers)
	}
	if a.created && cfg.Persist {
		// Last, so that a failed Open leaves no device.
		if err := persistNow(a.files[0], a.name); err != nil {
			return nil, err
		}
	}
	return d, nil
}
