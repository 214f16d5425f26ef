package tun

// OwnNetns is for the tests of package tun_test.
var OwnNetns = ownNetns
