package proxy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Line hands bytes on over TCP, and can be slow.
type Line struct {
	listener net.Listener
	target   string
	delay    atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// StartLine starts a line to an address.
func StartLine(target string) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Line{listener: listener, target: target, conns: map[net.Conn]bool{}}
	go l.accept()
	return l, nil
}

// Address is where the line begins.
func (l *Line) Address() string { return l.listener.Addr().String() }

// Slow lets everything that is handed on wait for a while first. Zero means that nothing waits.
func (l *Line) Slow(delay time.Duration) { l.delay.Store(int64(delay)) }

// Close ends the line, and what goes over it.
func (l *Line) Close() error {
	err := l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
	return err
}

func (l *Line) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.connect(near)
	}
}

// connect hands on in both directions until one end is gone.
func (l *Line) connect(near net.Conn) {
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		_ = near.Close()
		return
	}
	l.keep(near, far)
	defer l.drop(near, far)
	ended := make(chan struct{}, 2)
	hand := func(to io.Writer, from io.Reader) {
		l.hand(to, from)
		ended <- struct{}{}
	}
	go hand(far, near)
	go hand(near, far)
	<-ended
}

func (l *Line) hand(to io.Writer, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		time.Sleep(time.Duration(l.delay.Load()))
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

func (l *Line) keep(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.conns[c] = true
	}
}

func (l *Line) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
		_ = c.Close()
	}
}
