// Coverage ties the catalogue to the tests: it reads the identifiers from the
// pages in the repository's root and the calls covers.IDs(t, "C-01", ...) from
// the test files, and prints which test proves which item.
//
//	BEHAVIOUR.md  HAZARDS.md  PROMISES.md  NETSTACK.md      *_test.go
//	          \        |          |        /                    |
//	           item: ID, status, sentence              ref: ID, test, place
//	                        \                          /
//	                         report: ID -> tests, what is missing
//
// An item whose row says "delivered" needs a test; "later" and "partly" are
// listed and need none. There is no second list: the pages decide. It is an
// error if a delivered item has no test, if a test names an item that no page
// has, if an identifier is not a string literal, if the call stands in code that
// no test of the package reaches, or if a series of numbers has a hole (an item
// that was dropped is still owed an answer).
//
// With --results it also reads what "go test -json" printed, and only a test that
// passed there counts.
//
//	go run ./test/coverage               the whole table
//	go run ./test/coverage --missing     only what is owed
//	go run ./test/coverage --json        the same for programs
//
// Exit codes: 0 nothing is owed, 1 something is, 2 wrong usage or unreadable
// files. It reads files and nothing else; it runs no test.
package main
