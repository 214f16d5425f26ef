package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is what has to be the same for two results to be comparable at all.
type Machine struct {
	Processor string `json:"processor"`
	CPUs      int    `json:"cpus"`
	MemoryGiB int    `json:"memory_gib"`
	Kernel    string `json:"kernel"`
	// Congestion is what the kernel's sockets use by default, such as "cubic".
	Congestion string `json:"congestion,omitempty"`
	Go         string `json:"go"`
}

// ThisMachine describes where the program runs.
func ThisMachine() Machine {
	m := Machine{Processor: processor(), CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if data, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		m.Congestion = strings.TrimSpace(string(data))
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.MemoryGiB = int((info.Totalram*uint64(info.Unit) + 1<<29) >> 30)
	}
	return m
}

// SameKind says whether ratios within a round on one machine say something about
// those on the other: how the two ends of a connection share the processors makes
// the ratios, and what the kernel's congestion control makes of its own half.
func (m Machine) SameKind(other Machine) bool {
	return m.Processor == other.Processor && m.CPUs == other.CPUs && m.Congestion == other.Congestion
}

// String implements fmt.Stringer.
func (m Machine) String() string {
	kernel := m.Kernel
	if m.Congestion != "" {
		kernel += " (" + m.Congestion + ")"
	}
	return fmt.Sprintf("%s, %d CPUs, %d GiB, Linux %s, %s", m.Processor, m.CPUs, m.MemoryGiB, kernel, m.Go)
}

func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	return parseProcessor(data)
}

// parseProcessor is the first processor's name; with the family and model where there
// are any, since several generations go by one name in virtual machines.
func parseProcessor(data []byte) string {
	first, _, _ := strings.Cut(string(data), "\n\n")
	fields := make(map[string]string)
	for line := range strings.Lines(first) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	name, family, model := fields["model name"], fields["cpu family"], fields["model"]
	switch {
	case name == "":
		return runtime.GOARCH
	case family == "" || model == "":
		return name
	}
	return fmt.Sprintf("%s (family %s, model %s)", name, family, model)
}

// Load is how the machine's processors have spent their time since it started, in
// ticks.
type Load struct{ busy, stolen, all uint64 }

// ReadLoad reads /proc/stat.
func ReadLoad() Load {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Load{}
	}
	return parseLoad(data)
}

// parseLoad takes the first line: user nice system idle iowait irq softirq steal.
func parseLoad(data []byte) (l Load) {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	fields := strings.Fields(string(line))
	if len(fields) < 9 || fields[0] != "cpu" {
		return Load{}
	}
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return Load{}
		}
		l.all += n
		switch i {
		case 3, 4:
		case 7:
			l.stolen += n
		default:
			l.busy += n
		}
	}
	return l
}

// ownTicks is this process's processor time in the unit of Load (USER_HZ is 100
// wherever Go runs).
func ownTicks() uint64 { return uint64(processorTime().Milliseconds() / 10) }

// Foreign is the share of the machine's processor time, since an earlier look, that
// others used or that the host took away: what makes a measurement hard to believe.
func Foreign(before, after Load, own uint64) float64 {
	all := after.all - before.all
	if all == 0 {
		return 0
	}
	used := after.busy - before.busy
	if used < own {
		used = own
	}
	return float64(used-own+after.stolen-before.stolen) / float64(all)
}
