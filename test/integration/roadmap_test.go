package integration

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// date gives the day so many days from now.
func date(days int) v1alpha1.Date {
	return v1alpha1.Date(time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly))
}

func roadmapReady(name string) func(context.Context) (metav1.Condition, error) {
	return ready(&v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: name}},
		func(r *v1alpha1.SafetyRoadmap) []metav1.Condition { return r.Status.Conditions })
}

var _ = Describe("A roadmap", func() {
	It("shows a goal past its date as missed, and keeps the dates that it was moved from", func(ctx SpecContext) {
		// Yesterday is over and the next days are not, also if the day changes during the test.
		name := fmt.Sprintf("r%d", worlds.Add(1))
		goal := func(name string, target v1alpha1.Date) v1alpha1.Goal {
			return v1alpha1.Goal{Name: name, Pillar: "Security", Goal: "to be done", DateSet: date(-100), TargetDate: target}
		}
		roadmap := &v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.SafetyRoadmapSpec{
			Goals: []v1alpha1.Goal{goal("ahead", date(5)), goal("late", date(-1)), goal("done", date(-1))}}}
		roadmap.Spec.Goals[2].Updates = []v1alpha1.GoalUpdate{{Date: date(-2), Progress: "Done", Text: "done"}}
		late := roadmap.Spec.Goals[1].TargetDate
		create(ctx, roadmap)
		DeferCleanup(func(ctx SpecContext) { Expect(api.Delete(ctx, roadmap)).To(Succeed()) })

		Eventually(roadmapReady(name)).WithContext(ctx).Should(condition(metav1.ConditionFalse, v1alpha1.ReasonGoalsMissed, "goals missed: late"))
		Expect(st.As(st.Kubeconfig()).Run(ctx, "get", "safetyroadmap", name)).To(MatchRegexp(`(?m)^%s\s+1/3\s+1\s+False\s`, name))
		Eventually(func(g Gomega) {
			list := &eventsv1.EventList{}
			g.Expect(api.List(ctx, list)).To(Succeed())
			g.Expect(list.Items).To(ContainElement(SatisfyAll(HaveField("Regarding.Name", name), HaveField("Reason", v1alpha1.ReasonGoalsMissed))))
		}).Should(Succeed())

		By("moving it, twice")
		for i, to := range []v1alpha1.Date{date(3), date(4)} {
			update(ctx, roadmap, func() {
				roadmap.Spec.Goals[1].Updates = append(roadmap.Spec.Goals[1].Updates,
					v1alpha1.GoalUpdate{Date: date(i - 1), TargetDate: to, Progress: "InProgress", Text: "it takes longer"})
			})
		}
		Eventually(roadmapReady(name)).WithContext(ctx).Should(condition(metav1.ConditionTrue, v1alpha1.ReasonOnTrack, ""))
		Expect(roadmap.Spec.Goals[1].TargetDate).To(Equal(late))
		Eventually(func(g Gomega) {
			_, err := roadmapReady(name)(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			have := &v1alpha1.SafetyRoadmap{}
			g.Expect(api.Get(ctx, client.ObjectKeyFromObject(roadmap), have)).To(Succeed())
			g.Expect(have.Status.Goals[1]).To(Equal(v1alpha1.GoalStatus{
				Name: "late", State: v1alpha1.GoalInProgress, TargetDate: date(4), FormerTargetDates: []v1alpha1.Date{late, date(3)}}))
			g.Expect(have.Status.GoalsMissed).To(BeZero())
		}).Should(Succeed())

		By("moving it without saying so")
		update(ctx, roadmap, func() {}) // reads it
		roadmap.Spec.Goals[1].TargetDate = date(9)
		Expect(api.Update(ctx, roadmap)).To(MatchError(ContainSubstring("targetDate is never changed")))
	})

	It("names a date that is none, and tells of its other goals all the same", func(ctx SpecContext) {
		name := fmt.Sprintf("r%d", worlds.Add(1))
		roadmap := &v1alpha1.SafetyRoadmap{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.SafetyRoadmapSpec{Goals: []v1alpha1.Goal{
			{Name: "bad", Pillar: "Security", Goal: "to be done", DateSet: "2026-01-01", TargetDate: "2027-02-29"},
			{Name: "good", Pillar: "Security", Goal: "to be done", DateSet: "2026-01-01", TargetDate: "2026-02-28"}}}}
		create(ctx, roadmap)
		DeferCleanup(func(ctx SpecContext) { Expect(api.Delete(ctx, roadmap)).To(Succeed()) })
		Eventually(roadmapReady(name)).WithContext(ctx).Should(
			condition(metav1.ConditionFalse, v1alpha1.ReasonGoalUnreadable, `goal bad: targetDate "2027-02-29" cannot be read`))
		have := &v1alpha1.SafetyRoadmap{}
		Expect(api.Get(ctx, client.ObjectKeyFromObject(roadmap), have)).To(Succeed())
		Expect(have.Status.Goals).To(ConsistOf(HaveField("State", v1alpha1.GoalMissed)))
	})
})
