package wskrun

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"testing"
	"time"
)

// A simulation needs a *testing.T, since testing/synctest, which makes time virtual,
// needs one. Outside of go test there is one way to get it: testing.MainStart, which
// is what the go command's own main function of a test calls. It is not under Go's
// promise of compatibility. So it is used in this file alone, and if Go changes it,
// this file is what does not compile.

// borrow returns a test that lasts as long as the process: that it never ends is what
// keeps package testing from printing a verdict of its own to standard output. It is
// called once for a run of the command.
func borrow() (*testing.T, error) {
	began := make(chan *testing.T, 1)
	test := testing.InternalTest{Name: "wskstackd", F: func(t *testing.T) {
		began <- t
		select {}
	}}
	m := testing.MainStart(noDeps{}, []testing.InternalTest{test}, nil, nil, nil)
	if !flag.Parsed() {
		// Package testing would take the program's arguments for its own.
		if err := flag.CommandLine.Parse(nil); err != nil {
			return nil, err
		}
	}
	ended := make(chan int, 1)
	go func() { ended <- m.Run() }()
	select {
	case t := <-began:
		return t, nil
	case <-ended:
		return nil, errors.New("this program was given no virtual time: use --peer kernel")
	}
}

// noDeps is a test main without profiles, coverage and fuzzing.
type noDeps struct{}

// corpusEntry is package testing's own, which has no name outside of it.
type corpusEntry = struct {
	Parent     string
	Path       string
	Data       []byte
	Values     []any
	Generation int
	IsSeed     bool
}

var errNothing = errors.New("there is no fuzzing here")

func (noDeps) ImportPath() string                          { return "" }
func (noDeps) ModulePath() string                          { return "" }
func (noDeps) MatchString(_, _ string) (bool, error)       { return true, nil }
func (noDeps) SetPanicOnExit0(bool)                        {}
func (noDeps) StartCPUProfile(io.Writer) error             { return nil }
func (noDeps) StopCPUProfile()                             {}
func (noDeps) StartTestLog(io.Writer)                      {}
func (noDeps) StopTestLog() error                          { return nil }
func (noDeps) WriteProfileTo(string, io.Writer, int) error { return nil }
func (noDeps) CoordinateFuzzing(time.Duration, int64, time.Duration, int64, int, []corpusEntry, []reflect.Type, string, string) error {
	return errNothing
}
func (noDeps) RunFuzzWorker(func(corpusEntry) error) error              { return errNothing }
func (noDeps) ReadCorpus(string, []reflect.Type) ([]corpusEntry, error) { return nil, errNothing }
func (noDeps) CheckCorpus([]any, []reflect.Type) error                  { return errNothing }
func (noDeps) ResetCoverage()                                           {}
func (noDeps) SnapshotCoverage()                                        {}
func (noDeps) InitRuntimeCoverage() (string, func(string, string) (string, error), func() float64) {
	return "", nil, nil
}
