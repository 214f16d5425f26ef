// Package arch has tests only: they hold the repository to the map of its rooms
// and to the habits that a reader may rely on.
//
//	      cmd ─────────────► all rooms              test ──► all rooms
//	       │                                          ▲
//	  wsk/onstack ──► wsk ──► wsk/irp ──► wsk/ntstatus│ (nobody outside imports it)
//	       │
//	       ▼
//	     stack ──► stack/fastopen ──► .../tfo ──► stack/seg
//	       │       stack/gate ───────────────────────────► stack/seg
//	       │       stack/fastopen/explain ──► stack/fastopen
//	       │       stack/capture
//	       └─────► stack/iolink ──► .../frame ◄── tun ──► water, in one file
//
//	gVisor words: stack/ (and test/, cmd/)    Windows words: wsk/
//
// rules_test.go is the table of forbidden imports, each with its reason. The
// files round it check that the tree is formatted, that every package has its
// comment, and that every package with tests looks for leaked goroutines.
package arch
