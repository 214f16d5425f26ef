package stack_test

import (
	"errors"
	"net/netip"
	"regexp"
	"testing"

	"github.com/wskstack/wskstack/test/kernelpeer"
	"github.com/wskstack/wskstack/test/netns/netnstest"
	"github.com/wskstack/wskstack/test/wire"
)

// TestExampleTun runs Example_tun in a namespace whose kernel serves HTTP. It has no
// output comment, since with one go test would run it everywhere.
func TestExampleTun(t *testing.T) {
	w, err := wire.Open(wire.TUN, wire.Config{}) // of which the namespace is used
	netnstest.Require(t, err)
	defer w.Close()
	srv, err := kernelpeer.Listen(w.Namespace, kernelpeer.ServerConfig{
		Address: netip.MustParseAddrPort("0.0.0.0:80"), Handler: kernelpeer.HTTP,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	err = w.Namespace.Do(func() error {
		example := testing.InternalExample{Name: t.Name(), F: Example_tun, Output: "200 OK\n"}
		if !testing.RunExamples(regexp.MatchString, []testing.InternalExample{example}) {
			return errors.New("the example has not said what it should")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if all := srv.Records(); len(all) != 1 || all[0].Remote.Addr().Unmap() != netip.MustParseAddr("10.9.0.2") {
		t.Errorf("the kernel served %+v", all)
	}
}
