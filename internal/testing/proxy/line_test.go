package proxy

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestLineHandsOnSlowly(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := echo.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
		}
	}()
	l, err := StartLine(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Address())
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) time.Duration {
		began, heard := time.Now(), make([]byte, len(text))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, heard); err != nil || string(heard) != text {
			t.Fatalf("heard %q: %v", heard, err)
		}
		return time.Since(began)
	}
	say("a")
	const delay = 50 * time.Millisecond
	l.Slow(delay)
	if took := say("b"); took < 2*delay {
		t.Errorf("there and back took %s over a slow line", took)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the line is closed and goes on")
	}
	_ = echo.Close()
}
