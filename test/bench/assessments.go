package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// measureAssessments files many assessments, half of them of the weights of one model and half of weights that nobody
// serves, and times how soon one more, which found danger, holds the model.
func measureAssessments(ctx context.Context, c config, cl *cluster, t *table) error {
	const ns, name = "bench-assessments", "a-model"
	if err := cl.namespace(ctx, ns, packPolicy); err != nil {
		return err
	}
	if err := cl.client.Create(ctx, egressPolicy(ns)); err != nil {
		return err
	}
	if err := cl.client.Create(ctx, model(ns, name, clearedLevel)); err != nil {
		return err
	}
	if err := cl.untilCleared(ctx, ns, 1); err != nil {
		return err
	}
	template := &v1alpha1.CapabilityAssessment{}
	if err := cl.client.Get(ctx, client.ObjectKey{Name: "bench"}, template); err != nil {
		return err
	}
	start := time.Now()
	var work errgroup.Group
	work.SetLimit(c.clients)
	for i := range c.assessments {
		weights := digest
		if i%2 == 1 {
			weights = fmt.Sprintf("sha256:%064x", i)
		}
		work.Go(func() error {
			return cl.client.Create(ctx, assessmentLike(template, fmt.Sprintf("many-%d", i), weights))
		})
	}
	if err := work.Wait(); err != nil {
		return err
	}
	progress("%d assessments filed after %s", c.assessments, seconds(time.Since(start)))
	err := cl.until(ctx, "all assessments to be reported on", func(ctx context.Context) (bool, error) {
		last := &v1alpha1.CapabilityAssessment{}
		err := cl.client.Get(ctx, client.ObjectKey{Name: fmt.Sprintf("many-%d", c.assessments-1)}, last)
		return err == nil && meta.FindStatusCondition(last.Status.Conditions, v1alpha1.ConditionReady) != nil, err
	})
	if err != nil {
		return err
	}
	t.beside(fmt.Sprintf("%d assessments filed and reported on", c.assessments), seconds(time.Since(start)), "")

	danger := assessmentLike(template, "danger", digest)
	for i := range danger.Spec.Outcomes {
		danger.Spec.Outcomes[i].Outcome = v1alpha1.AssessmentReached
	}
	start = time.Now()
	if err := cl.client.Create(ctx, danger); err != nil {
		return err
	}
	if err := cl.untilCleared(ctx, ns, 0); err != nil {
		return err
	}
	took := time.Since(start)
	t.within(fmt.Sprintf("one that found danger holds its model, beside %d of the same weights", c.assessments/2), "< 1 s", seconds(took), "", took < time.Second)
	rss, err := memory(cl.manager.PID())
	mb := float64(rss) / 1e6
	t.within("operator then, resident memory", "< 400 MB", fmt.Sprintf("%.0f MB", mb), "", mb < 400)
	return err
}

func assessmentLike(template *v1alpha1.CapabilityAssessment, name, weights string) *v1alpha1.CapabilityAssessment {
	a := &v1alpha1.CapabilityAssessment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *template.Spec.DeepCopy()}
	a.Spec.Digests = []string{weights}
	return a
}
