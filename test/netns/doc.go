// Package netns makes network namespaces of the program's own, by system call
// and netlink: no ip(8), no mount, no file in /run.
//
//	          ns, _ := netns.New()
//	                  │
//	one descriptor ───┘        /proc/thread-self/ns/net, opened on a thread of
//	holds it alive             the namespace; nothing else refers to it
//	                  │
//	ns.Do(f) ─────────┤  f runs on a thread that is inside, locked to it;
//	ns.Netlink() ─────┤  sockets opened there belong to the namespace for ever,
//	ns.SetSysctl() ───┘  and are used from anywhere
//
// Because only descriptors hold a namespace, the kernel takes it away, with the
// devices, addresses and routes in it, when the process ends in whatever way,
// kill -9 included. There is nothing to clean up and nothing to leave behind.
//
// # Threads
//
// A namespace is a property of a thread. Every function here that has to be
// inside one does it on a goroutine of its own, locked to its thread. Afterwards
// the thread is put back; if that fails the goroutine ends while still locked,
// and the Go runtime destroys the thread. So no other goroutine ever runs in a
// namespace that it did not ask for.
//
// # Ownership
//
// Who calls [New] or [Open] calls [Namespace.Close]. Sockets and devices that
// live in the namespace keep it alive after that, until they are closed.
//
// # Ordinary users
//
// Making a namespace needs CAP_SYS_ADMIN. [Reexec] runs the program once more as
// root of a user namespace of its own, where New works for an ordinary user;
// [Available] says whether it works here.
//
// # Limits
//
// Linux only. Sysctls are limited to net.*, since nothing else belongs to a
// network namespace. A file of /proc opened by path in one goroutine and read in
// another shows the namespace of the thread that opened it.
package netns
