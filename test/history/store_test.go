package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"time"
)

// storeInterferences harm the API server and etcd.
func (w *world) storeInterferences() []interference {
	all := []interference{
		{name: "API server restarts", store: true, toll: recovery, do: func(ctx context.Context, _ *rand.Rand) error {
			return w.cluster.RestartAPIServer(context.WithoutCancel(ctx))
		}},
		{name: "etcd restarts", store: true, toll: recovery, do: func(ctx context.Context, _ *rand.Rand) error {
			return w.cluster.RestartEtcd(context.WithoutCancel(ctx))
		}},
		{name: "etcd is slow", store: true, toll: reconnect, do: func(ctx context.Context, r *rand.Rand) error {
			w.line.Slow(time.Duration(10+r.IntN(140)) * time.Millisecond)
			rest(ctx, r, time.Second, 10*time.Second)
			w.line.Slow(0)
			return nil
		}},
		{name: "etcd is full", store: true, toll: reconnect, do: w.fillEtcd},
		{name: "the second API server's copies stand still", stale: true, do: func(ctx context.Context, r *rand.Rand) error {
			w.copies.Stall()
			rest(ctx, r, time.Second, 25*time.Second)
			w.copies.Resume()
			return nil
		}},
	}
	for _, component := range []string{"etcd", "kube-apiserver"} {
		paused := func(ctx context.Context, r *rand.Rand) error {
			return pause(ctx, r, 3*time.Second, func(s os.Signal) error { return w.cluster.Signal(component, s) })
		}
		all = append(all, interference{name: component + " is paused", store: true, toll: reconnect, do: paused})
	}
	return all
}

// fillEtcd raises the alarm that etcd raises when it is full, and that it keeps until somebody takes it back. Until then it takes
// no writes, but for deletions.
func (w *world) fillEtcd(ctx context.Context, r *rand.Rand) error {
	if err := w.alarm(ctx, "ACTIVATE"); err != nil {
		return err
	}
	rest(ctx, r, 500*time.Millisecond, 8*time.Second)
	return w.alarm(context.WithoutCancel(ctx), "DEACTIVATE")
}

func (w *world) alarm(ctx context.Context, action string) error {
	ask, err := json.Marshal(map[string]string{"action": action, "alarm": "NOSPACE"})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cluster.EtcdURL()+"/v3/maintenance/alarm", bytes.NewReader(ask))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s the alarm of etcd: %s", action, response.Status)
	}
	return errors.Join(err, response.Body.Close())
}
