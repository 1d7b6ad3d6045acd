package proxy

import "runtime"

// turns has a place for each of the computations that strangers can make long,
// at a time: on half of the processors at most, so that open sockets do not wait
// for them. Who has one waits for nobody.
var turns = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
