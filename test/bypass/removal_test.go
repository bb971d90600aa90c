package bypass

import (
	"context"
	"maps"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const driftMetric = "interlock_enforcement_drift_repairs_total"

func removal() {
	It("33: each admission policy and binding that is deleted is back within seconds, with an alarm", func(ctx SpecContext) {
		before := metric(ctx, driftMetric)
		all := ours(ctx)
		for _, name := range []string{
			admission.HoldPolicy, admission.AdmitPolicy, admission.GuardPolicy, admission.IdentityPolicy, admission.LedgerPolicy, admission.EnrolmentPolicy,
		} {
			Expect(slices.IndexFunc(all, func(o admission.Object) bool { return o.GetName() == name })).NotTo(Equal(-1), name)
		}
		since := time.Now().Add(-time.Second)
		for _, o := range all {
			Expect(admin.Delete(ctx, o.DeepCopyObject().(client.Object))).To(Succeed())
		}
		for _, o := range all {
			expectRestored(ctx, o)
			expectAlarm(ctx, o, "was deleted", since)
		}
		Expect(metric(ctx, driftMetric)).To(BeEquivalentTo(before + float64(len(all))))
		waitEnforced(ctx)
	})

	loosened := alterations()
	for _, what := range slices.Sorted(maps.Keys(loosened)) {
		alter := loosened[what]
		It("33: a change that loosens enforcement is undone within seconds, with an alarm: "+what, func(ctx SpecContext) {
			before, since := metric(ctx, driftMetric), time.Now().Add(-time.Second)
			var changed []admission.Object
			for _, o := range ours(ctx) {
				loose := o.DeepCopyObject().(admission.Object)
				if alter(loose) {
					overwrite(ctx, loose)
					changed = append(changed, o)
				}
			}
			Expect(changed).NotTo(BeEmpty())
			for _, o := range changed {
				expectRestored(ctx, o)
				expectAlarm(ctx, o, "was changed", since)
			}
			Expect(metric(ctx, driftMetric)).To(BeEquivalentTo(before + float64(len(changed))))
		})
	}

	It("33: with the mutation deleted and Interlock dead, pods of uncleared models are refused and cleared ones start", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		withoutManager()
		remove(ctx, named[admissionv1.MutatingAdmissionPolicyBinding](admission.HoldPolicy))
		Eventually(ctx, func() error { return t.editor.Create(ctx, t.pod("x").Model(llama).Build(), client.DryRunAll) }).
			Should(beRefusedBy("interlock-admit", "lacks the scheduling gate"))
		remove(ctx, named[admissionv1.MutatingAdmissionPolicy](admission.HoldPolicy))
		Expect(t.editor.Create(ctx, t.pod("x").Model(llama).Build())).To(beRefusedBy("interlock-admit", "lacks the scheduling gate"))
		Expect(t.editor.Create(ctx, t.pod("x").Model(llama).Node("node-0").Build())).To(beRefusedBy("interlock-admit", "lacks the scheduling gate"))
		t.running(ctx, t.pod("cleared").Model(small))
		startManager(ctx)
		waitEnforced(ctx)
		t.waiting(ctx, t.pod("held").Model(llama))
	})

	It("33: with the judgement of new pods deleted and Interlock dead, uncleared models are held as before", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		withoutManager()
		remove(ctx, named[admissionv1.ValidatingAdmissionPolicyBinding](admission.AdmitPolicy), named[admissionv1.ValidatingAdmissionPolicy](admission.AdmitPolicy))
		Eventually(ctx, func() error { return t.editor.Create(ctx, t.pod("x").Build(), client.DryRunAll) }).Should(Succeed(), "it is gone")
		pod := t.waiting(ctx, t.pod("held").Model(llama))
		expectRefused(ctx, t.editor, pod, gateRemovals()[:1], "interlock-guard", "only Interlock takes the scheduling gate")
	})

	It("33: what an admin lets loose while Interlock is dead is taken back when it returns", func(ctx SpecContext) {
		t := newTenant(ctx, evictingName)
		pod := t.waiting(ctx, t.pod("loose").Model(llama))
		withoutManager()
		remove(ctx, named[admissionv1.ValidatingAdmissionPolicyBinding](admission.GuardPolicy), named[admissionv1.ValidatingAdmissionPolicy](admission.GuardPolicy))
		Eventually(ctx, func() error { return gateRemovals()[0].do(ctx, t.editor, pod) }).Should(Succeed())
		t.waitRunning(ctx, pod)
		startManager(ctx)
		t.waitGone(ctx, pod)
		waitEnforced(ctx)
		again := t.waiting(ctx, t.pod("again").Model(llama))
		expectRefused(ctx, t.editor, again, gateRemovals()[:1], "interlock-guard", "only Interlock takes the scheduling gate")
	})

	It("33: with its clearances deleted a namespace starts nothing, and Interlock writes it anew", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		pod := t.waiting(ctx, t.pod("held").Model(llama))
		withoutManager()
		remove(ctx, named[admissionv1.ValidatingAdmissionPolicyBinding](admission.LedgerPolicy))
		Eventually(ctx, func() error { return client.IgnoreNotFound(admin.Delete(ctx, t.clearances(ctx))) }).Should(Succeed())
		const missing = "no params found for policy binding with `Deny` parameterNotFoundAction"
		Eventually(ctx, func() error { return t.editor.Create(ctx, t.pod("x").Model(small).Build(), client.DryRunAll) }).
			Should(MatchError(ContainSubstring(missing)))
		Expect(t.editor.Create(ctx, t.pod("x").Model(llama).Build())).To(MatchError(ContainSubstring(missing)))
		Expect(gateRemovals()[0].do(ctx, t.editor, pod)).To(MatchError(ContainSubstring(missing)))
		t.expectUntouched(ctx, pod)
		startManager(ctx)
		Eventually(ctx, func() error { return t.editor.Create(ctx, t.pod("x").Model(small).Build(), client.DryRunAll) }).Should(Succeed())
		t.waiting(ctx, t.pod("held-again").Model(llama))
	})

	It("33: a policy or a safeguard that is deleted holds the models that rest on it, and says so", func(ctx SpecContext) {
		safeguard := builder.Safeguard("doomed").PodRule(builder.ImagesPinned, "an image is not pinned").Build()
		policy := builder.ScalingPolicy("bypass-doomed").Level(builder.Level(builder.ASL2).Deployment("doomed")).Level(builder.Level(builder.ASL3).Security(egressLimited)).Build()
		Expect(admin.Create(ctx, safeguard.DeepCopy())).To(Succeed())
		Expect(admin.Create(ctx, policy.DeepCopy())).To(Succeed())
		t := newTenant(ctx, policy.Name)
		runs := t.running(ctx, t.pod("runs").Model(small))
		for _, doomed := range []client.Object{policy, safeguard} {
			Expect(admin.Delete(ctx, doomed.DeepCopyObject().(client.Object))).To(Succeed())
			t.waitVerdict(ctx, small, v1alpha1.OutcomeRevoked)
			t.waiting(ctx, t.pod("held-").Model(small))
			t.expectUntouched(ctx, runs)
			Eventually(ctx, func(g Gomega) {
				md := &v1alpha1.ModelDeployment{}
				g.Expect(t.editor.Get(ctx, t.key(small), md)).To(Succeed())
				g.Expect(md.Status.Conditions).To(ContainElement(HaveField("Message", ContainSubstring("does not exist"))))
			}).Should(Succeed())
			Expect(admin.Create(ctx, doomed.DeepCopyObject().(client.Object))).To(Succeed())
			t.waitVerdict(ctx, small, v1alpha1.OutcomeCleared)
		}
	})

	// The last one: no manager can start after it.
	It("33: with the kind of the ledger deleted nobody is told why, and all is enforced as before", func(ctx SpecContext) {
		t := newTenant(ctx, policyName)
		plain := builder.Namespace("plain-").Build()
		Expect(admin.Create(ctx, plain)).To(Succeed())
		Eventually(ctx, func() error { return admin.Create(ctx, builder.Pod(plain.Name, "before").Build()) }).Should(Succeed())
		Expect(manager.Kill()).To(Succeed())
		crd := &unstructured.Unstructured{}
		crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		crd.SetName("clearanceledgers.interlock.dev")
		remove(ctx, crd)
		enforced := func(name string) {
			GinkgoHelper()
			Expect(t.editor.Create(ctx, t.pod(name+"-cleared").Model(small).Build())).To(Succeed())
			t.waiting(ctx, t.pod(name+"-held").Model(llama))
			Expect(t.editor.Create(ctx, t.pod(name+"-nameless").Build())).To(beRefusedBy("interlock-admit", "must name the ModelDeployment"))
			expectRefused(ctx, t.owner, t.clearances(ctx), []edit{
				patching("merge patch", types.MergePatchType, "", anything{"metadata": anything{"annotations": anything{clearancesKey: forgedClearances}}})}, "interlock-ledgers", onlyInterlock)
		}
		enforced("gone")
		// An API server that starts does not find the kind at all.
		Expect(cluster.RestartAPIServer(ctx)).To(Succeed())
		enforced("restarted")
		for _, namespace := range []string{plain.Name, metav1.NamespaceSystem, metav1.NamespaceDefault} {
			Expect(admin.Create(ctx, builder.Pod(namespace, "after").Build(), client.DryRunAll)).To(Succeed(), "what is not enrolled is not held up: %s", namespace)
		}
	})
}

// ours lists the admission policies and bindings of Interlock.
func ours(ctx context.Context) []admission.Object {
	GinkgoHelper()
	label := client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy}
	mutating, mutatingBindings := &admissionv1.MutatingAdmissionPolicyList{}, &admissionv1.MutatingAdmissionPolicyBindingList{}
	judging, judgingBindings := &admissionv1.ValidatingAdmissionPolicyList{}, &admissionv1.ValidatingAdmissionPolicyBindingList{}
	for _, list := range []client.ObjectList{mutating, mutatingBindings, judging, judgingBindings} {
		Expect(admin.List(ctx, list, label)).To(Succeed())
	}
	var all []admission.Object
	for i := range mutating.Items {
		all = append(all, &mutating.Items[i])
	}
	for i := range mutatingBindings.Items {
		all = append(all, &mutatingBindings.Items[i])
	}
	for i := range judging.Items {
		all = append(all, &judging.Items[i])
	}
	for i := range judgingBindings.Items {
		all = append(all, &judgingBindings.Items[i])
	}
	return all
}

// alterations loosen what they can of an object, and say whether there was something.
func alterations() map[string]func(admission.Object) bool {
	condition := admissionv1.MatchCondition{Name: "never", Expression: "false"}
	nothing := &metav1.LabelSelector{MatchLabels: map[string]string{"no-such": "label"}}
	excluded := []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.OperationAll},
		Rule:       admissionv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}}}}}
	everywhere := func(change func(*admissionv1.MatchResources)) func(admission.Object) bool {
		return func(o admission.Object) bool {
			change(matchOf(o))
			return true
		}
	}
	return map[string]func(admission.Object) bool{
		"a further match condition": func(o admission.Object) bool {
			switch o := o.(type) {
			case *admissionv1.MutatingAdmissionPolicy:
				o.Spec.MatchConditions = append(o.Spec.MatchConditions, condition)
			case *admissionv1.ValidatingAdmissionPolicy:
				o.Spec.MatchConditions = append(o.Spec.MatchConditions, condition)
			default:
				return false
			}
			return true
		},
		"resources excluded":   everywhere(func(m *admissionv1.MatchResources) { m.ExcludeResourceRules = excluded }),
		"an object selector":   everywhere(func(m *admissionv1.MatchResources) { m.ObjectSelector = nothing }),
		"a namespace selector": everywhere(func(m *admissionv1.MatchResources) { m.NamespaceSelector = nothing }),
		"failures that are let by": func(o admission.Object) bool {
			switch o := o.(type) {
			case *admissionv1.MutatingAdmissionPolicy:
				o.Spec.FailurePolicy = new(admissionv1.Ignore)
			case *admissionv1.ValidatingAdmissionPolicy:
				if *o.Spec.FailurePolicy == admissionv1.Ignore {
					return false
				}
				o.Spec.FailurePolicy = new(admissionv1.Ignore)
			default:
				return false
			}
			return true
		},
		"validations and mutations that do nothing, and our label taken off": func(o admission.Object) bool {
			switch o := o.(type) {
			case *admissionv1.MutatingAdmissionPolicy:
				o.Spec.Mutations[0].JSONPatch.Expression = `[JSONPatch{op: "test", path: "/kind", value: "Pod"}]`
			case *admissionv1.ValidatingAdmissionPolicy:
				o.Spec.Validations = []admissionv1.Validation{{Expression: "true"}}
			default:
				return false
			}
			o.SetLabels(nil)
			return true
		},
		"a ledger that may be missing": func(o admission.Object) bool {
			var param *admissionv1.ParamRef
			switch o := o.(type) {
			case *admissionv1.MutatingAdmissionPolicyBinding:
				param = o.Spec.ParamRef
			case *admissionv1.ValidatingAdmissionPolicyBinding:
				param = o.Spec.ParamRef
			}
			if param == nil || *param.ParameterNotFoundAction == admissionv1.AllowAction {
				return false
			}
			*param.ParameterNotFoundAction = admissionv1.AllowAction
			return true
		},
		"denials that are only noted": func(o admission.Object) bool {
			b, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding)
			if !ok || b.Spec.ValidationActions[0] != admissionv1.Deny {
				return false
			}
			b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
			return true
		},
	}
}

// overwrite writes an object over the one that is there, though statuses are written meanwhile.
func overwrite(ctx context.Context, o admission.Object) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		have := o.DeepCopyObject().(admission.Object)
		g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(o), have)).To(Succeed())
		o.SetResourceVersion(have.GetResourceVersion())
		g.Expect(admin.Update(ctx, o)).To(Succeed())
	}).Should(Succeed())
}

func matchOf(o admission.Object) *admissionv1.MatchResources {
	switch o := o.(type) {
	case *admissionv1.MutatingAdmissionPolicy:
		return o.Spec.MatchConstraints
	case *admissionv1.MutatingAdmissionPolicyBinding:
		return o.Spec.MatchResources
	case *admissionv1.ValidatingAdmissionPolicy:
		return o.Spec.MatchConstraints
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		return o.Spec.MatchResources
	}
	return nil
}

// expectRestored waits until an object is as it was.
func expectRestored(ctx context.Context, want admission.Object) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		have := want.DeepCopyObject().(admission.Object)
		g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(want), have)).To(Succeed())
		g.Expect(admission.Same(want, have)).To(BeTrue(), "%T %s is not as it was", want, want.GetName())
	}).WithTimeout(5 * time.Second).Should(Succeed())
}

// expectAlarm waits for the event that tells of a repair.
func expectAlarm(ctx context.Context, o admission.Object, what string, since time.Time) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		list := &eventsv1.EventList{}
		g.Expect(admin.List(ctx, list, client.InNamespace(metav1.NamespaceDefault))).To(Succeed())
		g.Expect(list.Items).To(ContainElement(And(
			HaveField("Regarding.Name", o.GetName()),
			HaveField("Regarding.Kind", schemeKind(o).Kind),
			HaveField("Reason", "EnforcementDrift"),
			HaveField("Type", "Warning"),
			HaveField("Note", ContainSubstring(what)),
			Satisfy(func(e eventsv1.Event) bool {
				return e.CreationTimestamp.After(since) || e.Series != nil && e.Series.LastObservedTime.After(since)
			}),
		)), "no event on %s", o.GetName())
	}).Should(Succeed())
}

// remove deletes objects and waits until they are gone.
func remove(ctx context.Context, objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		Expect(admin.Delete(ctx, o)).To(Succeed())
		Eventually(ctx, func() error { return admin.Get(ctx, client.ObjectKeyFromObject(o), o) }).Should(Satisfy(apierrors.IsNotFound))
	}
}

func named[T any, P interface {
	*T
	client.Object
}](name string) client.Object {
	o := P(new(T))
	o.SetName(name)
	return o
}
