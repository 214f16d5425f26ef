package scenario

import (
	"encoding/hex"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wskstack/wskstack/wsk/ntstatus"
)

// value is a key's value; what of it is set depends on the key's shape.
type value struct {
	at      *node
	text    string
	count   uint64
	yes     bool
	time    time.Duration
	chance  float64
	bytes   []byte
	status  ntstatus.Status
	list    []string
	answers map[string][]answer
	hosts   map[string][]string
}

// answer is what a callback answers once.
type answer struct {
	word  string // of answerTable
	bytes int    // of "take 3"; -1: all
}

// Limits of single values.
const (
	maxCount = 1 << 26 // bytes, mostly
	maxTime  = time.Hour
)

var (
	nameTable = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	ruleTable = regexp.MustCompile(`^[A-Z][0-9]{1,3}$`)
)

// mapping reads a node's keys by a table. flags are the names of the verb's flags.
func (s *source) mapping(n *node, what string, table []key, flags map[string]uint32) (map[string]value, error) {
	if !n.isMap {
		return nil, s.fault(n.line, n.column, "%s has keys: %s", what, names(table))
	}
	out := map[string]value{}
	for _, p := range n.pairs {
		i := slices.IndexFunc(table, func(k key) bool { return k.name == p.key.text })
		if i < 0 {
			return nil, s.fault(p.key.line, p.key.column, "unknown key %q: %s knows %s", p.key.text, what, names(table))
		}
		k := table[i]
		if k.shape == shapeMap || k.shape == shapeSteps {
			out[k.name] = value{at: p.value}
			continue
		}
		v, err := s.value(p.value, k, flags)
		if err != nil {
			return nil, err
		}
		out[k.name] = v
	}
	return out, nil
}

func names(table []key) string {
	list := make([]string, len(table))
	for i, k := range table {
		list[i] = k.name
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// value reads one value.
func (s *source) value(n *node, k key, flags map[string]uint32) (value, error) {
	switch k.shape {
	case shapeNames, shapeTexts:
		return s.listOf(n, k)
	case shapeAnswers:
		return s.answersOf(n, k)
	case shapeHosts:
		return s.hostsOf(n, k)
	default: // one word
	}
	if n.isMap || n.isList || n.null {
		return value{}, s.fault(n.line, n.column, "%s is a %s", k.name, shapeTable[k.shape])
	}
	v, ok := scalar(n, k, flags)
	if !ok {
		want := shapeTable[k.shape]
		switch {
		case k.one != nil:
			want = "one of " + strings.Join(k.one, ", ")
		case k.shape == shapeFlags:
			want = "a number, or of the names " + strings.Join(slices.Sorted(maps.Keys(flags)), ", ") + " joined by '|'"
		case k.shape == shapeName:
			want = "a name of small letters, digits and '-'"
		case k.shape == shapeTime:
			want = "a time with its unit, such as 10ms or 2s, at most 1h"
		case k.shape == shapeCount:
			want = "a whole number from 0 on"
		case k.shape == shapeStatus:
			want = "the name or value of a status, such as STATUS_SUCCESS, cancelled or 0xC0000236"
		}
		return value{}, s.fault(n.line, n.column, "%s is %q; it has to be %s", k.name, n.text, want)
	}
	return v, nil
}

// scalar reads a value that is one word.
func scalar(n *node, k key, flags map[string]uint32) (value, bool) {
	v := value{at: n, text: n.text}
	var err error
	ok := true
	switch k.shape {
	case shapeName:
		ok = nameTable.MatchString(n.text)
	case shapeCount:
		v.count, err = strconv.ParseUint(strings.ReplaceAll(n.text, "_", ""), 0, 64)
		ok = v.count <= math.MaxUint32 || k.name == "seed"
		if k.name == "size" || k.name == "length" {
			ok = v.count <= maxCount
		}
	case shapeBool:
		v.yes, ok = n.text == "true", n.text == "true" || n.text == "false"
	case shapeTime:
		v.time, err = time.ParseDuration(n.text)
		ok = v.time >= 0 && v.time <= maxTime
	case shapeChance:
		v.chance, err = strconv.ParseFloat(n.text, 64)
		ok = v.chance >= 0 && v.chance <= 1
	case shapeHex:
		v.bytes, err = hex.DecodeString(strings.ReplaceAll(n.text, " ", ""))
	case shapeStatus:
		v.status, ok = ntstatus.Parse(n.text)
	case shapeFlags:
		v.count, ok = parseFlags(n.text, flags)
	default:
		ok = k.one == nil || slices.Contains(k.one, n.text)
	}
	return v, ok && err == nil
}

// parseFlags reads waitall|drain or 0x6.
func parseFlags(text string, flags map[string]uint32) (uint64, bool) {
	if n, err := strconv.ParseUint(text, 0, 32); err == nil {
		return n, true
	}
	var all uint64
	for name := range strings.SplitSeq(text, "|") {
		f, ok := flags[strings.TrimSpace(name)]
		if !ok {
			return 0, false
		}
		all |= uint64(f)
	}
	return all, true
}

// listOf reads a list of words.
func (s *source) listOf(n *node, k key) (value, error) {
	if !n.isList {
		return value{}, s.fault(n.line, n.column, "%s is a list: [a, b]", k.name)
	}
	v := value{at: n}
	for _, e := range n.list {
		if e.isList || e.isMap || e.null {
			return value{}, s.fault(e.line, e.column, "%s is a list of words", k.name)
		}
		switch {
		case k.name == "events" && eventTable[e.text] == 0:
			return value{}, s.fault(e.line, e.column, "there is no event %q that is enabled and disabled: accept, receive, disconnect, send-backlog, receive-from", e.text)
		case k.name == "reports" && !ruleTable.MatchString(e.text):
			return value{}, s.fault(e.line, e.column, "%q is no rule of the verifier, which are called I1 or S2", e.text)
		}
		v.list = append(v.list, e.text)
	}
	return v, nil
}

func events() string { return strings.Join(slices.Sorted(maps.Keys(eventTable)), ", ") }

// answersOf reads what callbacks answer.
func (s *source) answersOf(n *node, k key) (value, error) {
	if !n.isMap {
		return value{}, s.fault(n.line, n.column, "%s says what event callbacks answer: {receive: [take]}", k.name)
	}
	v := value{at: n, answers: map[string][]answer{}}
	for _, p := range n.pairs {
		if _, ok := eventTable[p.key.text]; !ok {
			return value{}, s.fault(p.key.line, p.key.column, "there is no event %q: %s", p.key.text, events())
		}
		if !p.value.isList {
			return value{}, s.fault(p.value.line, p.value.column, "the answers of %s are a list: [take]", p.key.text)
		}
		list := []answer{}
		for _, e := range p.value.list {
			a, ok := parseAnswer(p.key.text, e)
			if !ok {
				return value{}, s.fault(e.line, e.column, "a callback of %s cannot answer %q: take, take N (receive), retain (receive, receive-from), refuse (accept, inspect, receive, receive-from), pend (inspect)", p.key.text, e.text)
			}
			list = append(list, a)
		}
		v.answers[p.key.text] = list
	}
	return v, nil
}

// parseAnswer reads an answer of an event.
func parseAnswer(event string, n *node) (answer, bool) {
	word, rest, _ := strings.Cut(n.text, " ")
	a := answer{word: word, bytes: -1}
	if _, known := answerTable[word]; !known || n.isMap || n.isList {
		return a, false
	}
	if rest != "" {
		count, err := strconv.ParseUint(rest, 10, 31)
		if err != nil || word != "take" || event != "receive" {
			return a, false
		}
		a.bytes = int(count)
	}
	switch word {
	case "take":
		return a, true
	case "pend":
		return a, event == "inspect"
	case "retain":
		return a, event == "receive" || event == "receive-from"
	default:
		return a, event != "disconnect" && event != "send-backlog" && event != "abort"
	}
}

// hostsOf reads the resolver's table.
func (s *source) hostsOf(n *node, k key) (value, error) {
	if !n.isMap {
		return value{}, s.fault(n.line, n.column, "%s has the addresses of each name: {host.test: [192.0.2.7]}", k.name)
	}
	v := value{at: n, hosts: map[string][]string{}}
	for _, p := range n.pairs {
		if !p.value.isList {
			return value{}, s.fault(p.value.line, p.value.column, "the addresses of %s are a list", p.key.text)
		}
		list := []string{}
		for _, e := range p.value.list {
			if _, err := netip.ParseAddr(e.text); err != nil && e.text != "peer" {
				return value{}, s.fault(e.line, e.column, "%q is no address", e.text)
			}
			list = append(list, e.text)
		}
		v.hosts[p.key.text] = list
	}
	return v, nil
}
