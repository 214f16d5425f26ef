package wskrun

import (
	"context"
	"errors"

	"github.com/wskstack/wskstack/cmd/wskstackd/internal/netcat"
	"github.com/wskstack/wskstack/cmd/wskstackd/internal/watched"
	"github.com/wskstack/wskstack/wsk/scenario"
)

// onHost runs a scenario against a service that is there, through a TUN into the
// host's network.
func onHost(ctx context.Context, sc *scenario.Scenario, knobs scenario.Knobs, o netcat.Options) (_ scenario.Result, err error) {
	s, err := netcat.Open(ctx, o)
	if err != nil {
		return scenario.Result{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	network := watched.New(s.Stack())
	remote := s.Remote()
	world := realTime(scenario.World{
		Name: PeerHost, Network: network, InSYN: inSYN(network),
		Service: remote, PeerAddr: remote.Addr(), Local: s.Local(),
	})
	return sc.Run(ctx, world, knobs), nil
}
