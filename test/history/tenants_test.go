package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// draw gives what one worker draws from.
func draw(worker uint64) *rand.Rand { return rand.New(rand.NewPCG(*seed, worker)) }

// rest waits for a time between two.
func rest(ctx context.Context, r *rand.Rand, least, most time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(least + time.Duration(r.Int64N(int64(most-least)))):
	}
}

// linger waits for a moment, and now and then for so long that deadlines run out.
func linger(ctx context.Context, r *rand.Rand) {
	if r.IntN(5) == 0 {
		rest(ctx, r, 10*time.Second, 25*time.Second)
		return
	}
	rest(ctx, r, 50*time.Millisecond, 5*time.Second)
}

// flap lets the NetworkPolicy that a model needs come and go.
func (w *world) flap(ctx context.Context, r *rand.Rand, namespace string) {
	for ctx.Err() == nil {
		_ = w.admin.Create(ctx, limits(namespace))
		linger(ctx, r)
		_ = w.admin.Delete(ctx, limits(namespace))
		linger(ctx, r)
	}
}

// declare takes the declaration of a model back for a while, now and then.
func (w *world) declare(ctx context.Context, r *rand.Rand, namespace string) {
	for ctx.Err() == nil {
		rest(ctx, r, 10*time.Second, time.Minute)
		_ = w.admin.Delete(ctx, declared(namespace))
		rest(ctx, r, 50*time.Millisecond, 5*time.Second)
		_ = w.admin.Create(ctx, declared(namespace))
	}
}

// sign approves a model, and withdraws that. Meanwhile its author approves it, and somebody approves something else.
func (w *world) sign(ctx context.Context, r *rand.Rand, namespace string) {
	for ctx.Err() == nil {
		_ = w.approve(ctx, namespace)
		linger(ctx, r)
		own, wrong := approval(namespace, "own", w.digest(ctx, namespace)), approval(namespace, "wrong", "sha256:"+strings.Repeat("0", 64))
		_ = errors.Join(w.admin.Create(ctx, own), w.officer.Create(ctx, wrong))
		_ = w.officer.Delete(ctx, approval(namespace, approvalName, ""))
		linger(ctx, r)
		_ = errors.Join(w.admin.Delete(ctx, own), w.officer.Delete(ctx, wrong))
	}
}

// approve approves what the signed model's decision says now.
func (w *world) approve(ctx context.Context, namespace string) error {
	return w.officer.Create(ctx, approval(namespace, approvalName, w.digest(ctx, namespace)))
}

func (w *world) digest(ctx context.Context, namespace string) string {
	md := &v1alpha1.ModelDeployment{}
	if err := w.officer.Get(ctx, client.ObjectKey{Namespace: namespace, Name: signed}, md); err != nil {
		return ""
	}
	return md.Status.DecisionDigest
}

func approval(namespace, name, digest string) *v1alpha1.Approval {
	return builder.Approval(namespace, name).Role(role).Of(v1alpha1.SubjectDecision, signed, digest).Build()
}

// serve creates pods of all models at either API server, and takes some away again.
func (w *world) serve(ctx context.Context, r *rand.Rand, namespace string) {
	for n := 0; ctx.Err() == nil; n++ {
		model, server := models[r.IntN(len(models))], w.admin
		if r.IntN(2) == 0 {
			server = w.elsewhere
		}
		_ = server.Create(ctx, builder.Pod(namespace, fmt.Sprintf("%s-%d", model, n)).Model(model).Build())
		rest(ctx, r, 50*time.Millisecond, 600*time.Millisecond)
		if n%20 == 19 {
			_ = w.clean(ctx, namespace)
		}
	}
}

// clean deletes pods, but for the last that wait.
func (w *world) clean(ctx context.Context, namespace string) error {
	pods := &corev1.PodList{}
	if err := w.admin.List(ctx, pods, client.InNamespace(namespace), client.HasLabels{v1alpha1.ModelLabel}); err != nil {
		return err
	}
	var errs []error
	for i := range pods.Items {
		if pod := &pods.Items[i]; !safeguard.Held(pod) || len(pods.Items) > 60 {
			errs = append(errs, w.admin.Delete(ctx, pod, client.GracePeriodSeconds(0)))
		}
	}
	return errors.Join(errs...)
}

// flood writes as much as a tenant can, up to what does not fill etcd: a fat object, and policies that have to be judged.
func (w *world) flood(ctx context.Context, r *rand.Rand) error {
	ctx, stop := context.WithTimeout(ctx, time.Second+time.Duration(r.Int64N(int64(4*time.Second))))
	defer stop()
	namespace := w.tenants[0]
	fat := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "fat"}}
	fat.Data = map[string]string{"x": strings.Repeat("x", 900_000)}
	_ = w.admin.Create(ctx, fat.DeepCopy())
	many := 0
	for ; many < 40 && ctx.Err() == nil; many++ {
		o := fat.DeepCopy()
		o.Data["n"] = fmt.Sprint(many)
		_ = errors.Join(w.admin.Update(ctx, o), w.admin.Create(ctx, noise(namespace, many)))
	}
	ctx = context.WithoutCancel(ctx)
	errs := []error{client.IgnoreNotFound(w.admin.Delete(ctx, fat))}
	for n := range many {
		errs = append(errs, client.IgnoreNotFound(w.admin.Delete(ctx, noise(namespace, n))))
	}
	return errors.Join(errs...)
}

// noise is a NetworkPolicy of another application.
func noise(namespace string, n int) client.Object {
	return builder.NetworkPolicy(namespace, fmt.Sprintf("noise-%d", n)).Model("none").Build()
}
