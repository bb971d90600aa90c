package fresh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

// ErrDeposed says that another operator took the lock while this one led.
var ErrDeposed = errors.New("another operator leads since this one did not renew its lock in time: start again to stand by")

// Lead is the lock by which one operator leads. It knows for how long nobody else can. A leader that was paused for longer loosens
// nothing, and ends as soon as it sees that another one leads; client-go alone would let it go on for as long as renewals may take.
type Lead struct {
	resourcelock.Interface

	clock clock.PassiveClock
	lasts time.Duration
	// end ends this operator.
	end func(error)

	mu sync.Mutex
	// renewed is when the last renewal that succeeded was sent. Zero means that this operator does not lead.
	renewed time.Time
}

// NewLead makes the lock of an operator that leads for so long after each renewal, and that end ends once another one leads. A request
// for the lock is given up after timeout.
func NewLead(config *rest.Config, namespace, name string, lasts, timeout time.Duration, end func(error)) (*Lead, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this operator by its host: %w", err)
	}
	config = rest.AddUserAgent(config, "leader-election")
	config.Timeout = timeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	lock, err := resourcelock.New(resourcelock.LeasesResourceLock, namespace, name, client.CoreV1(), client.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())})
	if err != nil {
		return nil, fmt.Errorf("make the lock of the leader: %w", err)
	}
	return &Lead{Interface: lock, clock: clock.RealClock{}, lasts: lasts, end: end}, nil
}

// Get reads who has the lock.
func (l *Lead) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != l.Identity() && l.led() {
		l.set(time.Time{})
		l.end(ErrDeposed)
	}
	return record, raw, err
}

// Create takes a lock that nobody has.
func (l *Lead) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update renews the lock, takes it or gives it back.
func (l *Lead) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.note(record, func() error { return l.Interface.Update(ctx, record) })
}

func (l *Lead) note(record resourcelock.LeaderElectionRecord, write func() error) error {
	sent := l.clock.Now()
	mine := record.HolderIdentity == l.Identity()
	if !mine { // whoever is told of that may lead before this operator knows that it was written
		l.set(time.Time{})
	}
	err := write()
	if err == nil && mine {
		l.set(sent)
	}
	return err
}

func (l *Lead) set(renewed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = renewed
}

func (l *Lead) led() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.renewed.IsZero()
}

// Holds says whether nobody else can lead. Without a lock nobody does.
func (l *Lead) Holds() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.renewed.IsZero() && elapsed(l.renewed, l.clock.Now()) < l.lasts
}
