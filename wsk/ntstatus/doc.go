// Package ntstatus holds the NTSTATUS codes that the Winsock Kernel interface
// uses: their values, their names, and the way to use one as a Go error.
//
//	 31 30 29 28 27                16 15                 0
//	+-----+--+--+--------------------+--------------------+
//	| Sev |C |N |     facility       |        code        |
//	+-----+--+--+--------------------+--------------------+
//	Sev 00 success, 01 informational, 10 warning, 11 error
//
// A Status is a plain number with the value Windows gives it, so it can cross a
// C interface unchanged. Codes that no function of this module returns, but that
// a driver's switch statement may name, are left out.
//
// The package holds no state and starts no goroutine.
package ntstatus
