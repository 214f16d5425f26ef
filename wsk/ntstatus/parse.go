package ntstatus

import (
	"strconv"
	"strings"
)

// Parse returns the code of a name, in capitals or not and with its prefix or without
// (STATUS_CANCELLED, cancelled), or of a value in hexadecimal (0xC0000120), and whether
// it is one of this package's.
func Parse(text string) (Status, bool) {
	text = strings.ToUpper(strings.ReplaceAll(text, "-", "_"))
	if digits, ok := strings.CutPrefix(text, "0X"); ok {
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return 0, false
		}
		_, known := find(Status(n))
		return Status(n), known
	}
	const prefix = "STATUS_"
	if !strings.HasPrefix(text, prefix) {
		text = prefix + text
	}
	for i := range table {
		if table[i].name == text {
			return table[i].status, true
		}
	}
	return 0, false
}
