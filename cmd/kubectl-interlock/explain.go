package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

type explainOptions struct {
	*cluster
	output string
}

func newExplain(c *cluster) *cobra.Command {
	o := &explainOptions{cluster: c}
	cmd := &cobra.Command{
		Use:   "explain MODEL",
		Short: "Say why a model is cleared or held, and what to do next",
		Long: `Say why a ModelDeployment is cleared or held: for each safeguard what requires it, what was found, until when, and what
to do next; what is waived, by whose request; and which approvals are given and lacking. What is lacking comes first.

It reads the status of the model, and its waivers, and decides nothing.`,
		Example: `  kubectl interlock explain example-70b -n team-a

  # For a program
  kubectl interlock explain example-70b -n team-a -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "json or yaml")
	return cmd
}

func (o *explainOptions) run(ctx context.Context, name string) error {
	if err := format(o.output).check(asJSON, asYAML); err != nil {
		return err
	}
	c, namespace, err := o.here()
	if err != nil {
		return err
	}
	return o.explain(ctx, c, client.ObjectKey{Namespace: namespace, Name: name})
}

func (o *explainOptions) explain(ctx context.Context, c client.Reader, key client.ObjectKey) error {
	md := &v1alpha1.ModelDeployment{}
	err := c.Get(ctx, key, md)
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("there is no ModelDeployment %s: kubectl get modeldeployments -A lists them", key)
	case err != nil:
		return fmt.Errorf("read ModelDeployment %s: %w", key, err)
	}
	waivers := &v1alpha1.WaiverList{}
	if len(md.Status.Waivers) > 0 {
		if err := c.List(ctx, waivers, client.InNamespace(key.Namespace)); err != nil {
			return fmt.Errorf("list Waivers: %w", err)
		}
	}
	e := explain(md, waivers.Items, o.Now())
	if out := format(o.output); out != asText {
		return out.encode(o.Out, e)
	}
	e.print(o.Out)
	return nil
}

// explanation is what explain prints of a model: its status, what is lacking first, and what there is to say of that.
type explanation struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Notices say why the verdict may not be what holds now.
	Notices         []string                   `json:"notices,omitempty"`
	Verdict         v1alpha1.Outcome           `json:"verdict,omitempty"`
	Reason          string                     `json:"reason,omitempty"`
	Message         string                     `json:"message,omitempty"`
	Policy          string                     `json:"policy,omitempty"`
	DeploymentLevel string                     `json:"deploymentLevel,omitempty"`
	SecurityLevel   string                     `json:"securityLevel,omitempty"`
	Disputed        string                     `json:"disputed,omitempty"`
	Reported        string                     `json:"reported,omitempty"`
	ValidUntil      *metav1.Time               `json:"validUntil,omitempty"`
	Shortfall       *v1alpha1.Shortfall        `json:"shortfall,omitempty"`
	Thresholds      []v1alpha1.ThresholdResult `json:"thresholds,omitempty"`
	SafeguardsMet   string                     `json:"safeguardsMet,omitempty"`
	Safeguards      []v1alpha1.SafeguardResult `json:"safeguards,omitempty"`
	SignOffs        []v1alpha1.SignOffResult   `json:"signOffs,omitempty"`
	Waivers         []explainedWaiver          `json:"waivers,omitempty"`
}

// explainedWaiver is a waiver with what it asks, unless it is gone.
type explainedWaiver struct {
	v1alpha1.WaiverResult `json:",inline"`

	Spec *v1alpha1.WaiverSpec `json:"spec,omitempty"`
}

func explain(md *v1alpha1.ModelDeployment, waivers []v1alpha1.Waiver, now time.Time) *explanation {
	s := &md.Status
	e := &explanation{
		Namespace: md.Namespace, Name: md.Name, Notices: notices(md, now), Verdict: s.Verdict, Policy: s.Policy,
		DeploymentLevel: s.DeploymentLevel, SecurityLevel: s.SecurityLevel, Disputed: s.Disputed, Reported: s.Reported,
		ValidUntil: s.ValidUntil, Shortfall: s.Shortfall, Thresholds: s.Thresholds, SafeguardsMet: s.SafeguardsMet,
		Safeguards: slices.Clone(s.Safeguards), SignOffs: s.SignOffs,
	}
	if ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); ready != nil {
		e.Reason, e.Message = ready.Reason, ready.Message
	}
	slices.SortStableFunc(e.Safeguards, func(a, b v1alpha1.SafeguardResult) int { return cmp.Compare(lack(&a), lack(&b)) })
	for _, r := range s.Waivers {
		w := explainedWaiver{WaiverResult: r}
		if at := slices.IndexFunc(waivers, func(o v1alpha1.Waiver) bool { return o.Name == r.Name }); at >= 0 {
			w.Spec = &waivers[at].Spec
		}
		e.Waivers = append(e.Waivers, w)
	}
	return e
}

// lack orders safeguards: those that are not in place, those that are waived, and the others.
func lack(r *v1alpha1.SafeguardResult) int {
	switch r.State {
	case v1alpha1.SafeguardSatisfied:
		return 2
	case v1alpha1.SafeguardWaived:
		return 1
	}
	return 0
}

func notices(md *v1alpha1.ModelDeployment, now time.Time) (all []string) {
	s := &md.Status
	switch {
	case s.ObservedGeneration == 0:
		all = append(all, "the operator has said nothing of it yet: look whether it runs")
	case s.ObservedGeneration != md.Generation:
		all = append(all, "its last change has not been decided on yet: this is about what it was before")
	}
	if s.Verdict == v1alpha1.OutcomeCleared && s.ValidUntil != nil && !now.Before(s.ValidUntil.Time) {
		all = append(all, "the clearance has ended, so the API server refuses new pods: look whether the operator runs, which renews it")
	}
	for _, c := range s.Conditions {
		switch {
		case c.Type == v1alpha1.ConditionRecorded && c.Status == metav1.ConditionFalse,
			c.Type == v1alpha1.ConditionAdjusted && c.Status == metav1.ConditionFalse,
			c.Type == v1alpha1.ConditionFallenBack && c.Status == metav1.ConditionTrue:
			all = append(all, fmt.Sprintf("%s: %s", c.Reason, c.Message))
		}
	}
	return all
}

func (e *explanation) print(w io.Writer) {
	section := func(heading string, f facts) {
		fmt.Fprintln(w, line(heading))
		f.print(w)
	}
	section(fmt.Sprintf("ModelDeployment %s/%s: %s", e.Namespace, e.Name, cmp.Or(string(e.Verdict), "no verdict")), e.facts())
	for i := range e.Safeguards {
		s := &e.Safeguards[i]
		fmt.Fprintln(w)
		section(fmt.Sprintf("Safeguard %s: %s (%s)", s.Name, s.State, s.Force), safeguardFacts(s))
	}
	for i := range e.SignOffs {
		s := &e.SignOffs[i]
		fmt.Fprintln(w)
		section(fmt.Sprintf("Approval of %s %s in role %s: %d of %d", s.Kind, s.Name, s.Role, len(s.Approvers), s.People), e.signOffFacts(s))
	}
	for i := range e.Waivers {
		fmt.Fprintln(w)
		section(fmt.Sprintf("Waiver %s: %s", e.Waivers[i].Name, e.Waivers[i].State), e.Waivers[i].facts())
	}
}

func (e *explanation) facts() (f facts) {
	for _, notice := range e.Notices {
		f.add("mind", notice)
	}
	f.add("why", strings.TrimSuffix(fmt.Sprintf("%s: %s", e.Reason, e.Message), ": "))
	if e.DeploymentLevel != "" {
		f.add("required", fmt.Sprintf("deployment %s, security %s, by policy %s", e.DeploymentLevel, e.SecurityLevel, e.Policy))
	}
	f.add("disputed", e.Disputed)
	f.add("reported", e.Reported)
	for i := range e.Thresholds {
		f.add("threshold", thresholdText(&e.Thresholds[i])+until(e.Thresholds[i].ValidUntil))
	}
	f.add("safeguards", e.SafeguardsMet)
	if e.ValidUntil != nil {
		f.add("until", at(e.ValidUntil))
	}
	f = append(f, shortfallFacts(e.Shortfall)...)
	return f
}

// shortfallFacts tell of a shortfall that lasts, or is over but for its being remembered.
func shortfallFacts(s *v1alpha1.Shortfall) (f facts) {
	if s == nil {
		return nil
	}
	step, next := cmp.Or(string(s.Step), "no step yet"), ""
	if s.NextStepTime != nil {
		next = at(s.NextStepTime)
	}
	if s.QuietSince == nil || s.RememberedUntil == nil {
		f.add("running pods", fmt.Sprintf("%s, in a shortfall since %s", step, at(&s.Since)))
		f.add("next step", next)
	} else {
		f.add("shortfall", fmt.Sprintf("of %s, remembered until %s: no pod has run without clearance since %s", at(&s.Since), at(s.RememberedUntil), at(s.QuietSince)))
		f.add("last step", step)
		if next != "" {
			next += ", if a pod runs without clearance again before the shortfall is over"
		}
		f.add("next step", next)
	}
	f.add("blocked", s.Blocked)
	f.add("exposed", s.Exposed)
	return f
}

func safeguardFacts(s *v1alpha1.SafeguardResult) (f facts) {
	f.add("required by", strings.Join(s.RequiredBy, "; "))
	found := s.Message
	if s.Strength != "" {
		found = strings.TrimSpace(fmt.Sprintf("%s (%s)", found, s.Strength))
	}
	f.add("found", found)
	f.add("waived by", s.Waiver)
	if s.ValidUntil != nil {
		f.add("until", at(s.ValidUntil))
	}
	f.add("do", s.Remedy)
	return f
}

func (e *explanation) signOffFacts(s *v1alpha1.SignOffResult) (f facts) {
	f.add("approved by", strings.Join(s.Approvers, ", "))
	f.add("not counted", s.Message)
	if s.Remedy != "" {
		f.add("do", fmt.Sprintf("kubectl interlock approve %s %s -n %s --role %s", strings.ToLower(string(s.Kind)), s.Name, e.Namespace, s.Role))
	}
	return f
}

func (w *explainedWaiver) facts() (f facts) {
	f.add("why", w.Message)
	if w.Spec == nil {
		return f
	}
	f = append(f, waiverFacts(w.Spec)...)
	if w.Spec.Requester != nil {
		f.add("asked by", w.Spec.Requester.Username)
	}
	return f
}

func at(t *metav1.Time) string { return t.UTC().Format(time.RFC3339) }

// until is the end of a sentence.
func until(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return " until " + at(t)
}
