package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below the range out of which systems serve outgoing connections, so that no connection takes
// a port between the moment it is found free and the moment its server listens, nor while a server restarts.
const (
	firstPort = 20000
	lastPort  = 32000
)

var (
	handedOutMu sync.Mutex
	handedOut   = map[int]bool{}
)

// FreePort returns a port on 127.0.0.1 that nobody listens on, and that this process was not given before.
func FreePort() (int, error) {
	handedOutMu.Lock()
	defer handedOutMu.Unlock()
	var last error
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if handedOut[port] {
			continue
		}
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			last = err
			continue
		}
		handedOut[port] = true
		return port, listener.Close()
	}
	return 0, errors.Join(fmt.Errorf("no free port on 127.0.0.1 between %d and %d", firstPort, lastPort), last)
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
