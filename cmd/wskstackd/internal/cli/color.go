package cli

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// colours says whether what is written to w may have colours.
func colours(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && terminal(w)
}

// terminal says whether what is written to w is read by people.
func terminal(w io.Writer) bool {
	if k, ok := w.(*kept); ok {
		w = k.w
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// paint returns a function that puts a text between escape sequences of ECMA-48.
func paint(attribute string) func(string) string {
	return func(s string) string { return "\x1b[" + attribute + "m" + s + "\x1b[0m" }
}
