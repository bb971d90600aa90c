package fresh

import (
	"context"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// told is how much Clock has to be corrected by before somebody is told.
const told = 2 * time.Second

// Clock tells the time of the API server, which compares leases by it. The clock of the operator's machine may be wrong, and may be set
// at any time: Clock starts from it, counts on by the time that the process has run, and corrects itself whenever an answer of
// the API server shows that it is wrong. An answer says the time in whole seconds, so Clock is right to about a second.
type Clock struct {
	// Clock is that of the machine. Its timers go by the time that passes, and are right whatever it shows.
	clock.Clock
	began time.Time

	mu sync.Mutex
	// ahead is how far the API server is ahead of what Clock would tell by itself.
	ahead time.Duration
}

// NewClock starts from what another clock tells now.
func NewClock(own clock.Clock) *Clock { return &Clock{Clock: own, began: own.Now()} }

// Now gives the time of the API server.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.plain().Add(c.ahead)
}

// Since gives how much time has passed at the API server.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Ahead gives how far the API server's clock is ahead of that of this machine. It is negative if it is behind.
func (c *Clock) Ahead() time.Duration { return c.Now().Round(0).Sub(c.Clock.Now().Round(0)) }

// plain gives the time as if nobody had set the machine's clock since the process began. Answers are compared with it.
func (c *Clock) plain() time.Time { return c.began.Add(c.Clock.Since(c.began)) }

// heard corrects the clock by the answer to a request, which was dated between the plain time of sending and now.
func (c *Clock) heard(ctx context.Context, sent time.Time, answer *http.Response) {
	dated, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return
	}
	least, most := dated.Sub(c.plain()), dated.Add(time.Second).Sub(sent)
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.ahead
	c.ahead = min(max(c.ahead, least), most)
	if (c.ahead - before).Abs() >= told {
		log.FromContext(ctx).Info("The clock of this machine and that of the API server differ. Interlock goes by the API server's. "+
			"Keep both in step, for instance by NTP.", "apiServerAheadBy", c.ahead.Round(time.Second).String())
	}
}
