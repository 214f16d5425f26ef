// Package rundir is a daemon's directory for the time it runs: a lock against a
// second daemon, and a journal of what was changed on the machine and has to be
// taken back, also by the next daemon if this one is killed.
//
//	Open ──► lock ──► Recover: a journal is left over ──► taken back
//	Record(change) ──► journal on disk ──► the change is made
//	Close ◄── everything was taken back ──► no journal ──► lock let go
//
// Only what outlives a process is in the journal: sysctls, and settings of a
// device that was there before. Devices that the daemon made are gone with it, and
// a firewall table has a name that says whose it is.
//
// # Ownership
//
// A Dir owns the lock, which ends with the process. Close removes the file of the
// lock while it is held, and who gets a lock looks whether its file is still there.
// A Dir is used by one goroutine.
//
// # Limits
//
// A journal is of one network namespace, known by the kernel's cookie for it, and
// of one boot. Journals of other namespaces are left for daemons there.
package rundir
