package tun

import "golang.org/x/sys/unix"

// maxName is IFNAMSIZ less the terminating zero: the kernel's limit in bytes.
const maxName = unix.IFNAMSIZ - 1

// checkName refuses a name that the kernel would cut, expand or refuse, before
// anything is opened. The empty name is good: the kernel picks one.
func checkName(name string) error {
	if name == "" {
		return nil
	}
	if len(name) > maxName {
		return fail(ErrBadName, "device name %q has %d bytes: %d is the most the kernel keeps", name, len(name), maxName)
	}
	switch name {
	case ".", "..", "all", "default":
		return fail(ErrBadName, "device name %q is reserved by the kernel: choose another", name)
	}
	for i := range len(name) {
		if c := name[i]; !nameByte(c) {
			return fail(ErrBadName, "device name %q contains %q: use letters, digits, '-', '_' and '.'", name, c)
		}
	}
	return nil
}

// nameByte allows what the kernel allows (dev_valid_name: no '/', ':' or white
// space) within printable ASCII, less '%', which the kernel would expand.
func nameByte(c byte) bool {
	return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'
}
