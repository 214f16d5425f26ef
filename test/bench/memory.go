package bench

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// release gives memory back, so that what is left is in use.
func release() {
	runtime.GC()
	debug.FreeOSMemory()
}

// residentBytes is the process's resident set.
func residentBytes() int64 { return kilobytes("/proc/self/status", "VmRSS:") }

// kernelBytes is what the kernel holds for its objects.
func kernelBytes() int64 { return kilobytes("/proc/meminfo", "Slab:") }

// atRest is a number once it no longer falls: when the kernel has freed what was closed
// before, and no timer runs for a moment on a goroutine of its own.
func atRest(number func() int64) int64 {
	const enough, atMost = 5, 100
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	least, since := number(), 0
	for range atMost {
		<-tick.C
		now := number()
		if since++; now < least {
			least, since = now, 0
		}
		if since == enough {
			break
		}
	}
	return least
}

// kilobytes is a line of a file that the kernel writes in kB, in bytes; 0 if there
// is none.
func kilobytes(file, name string) int64 {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if value, ok := strings.CutPrefix(s.Text(), name); ok {
			kb, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}
