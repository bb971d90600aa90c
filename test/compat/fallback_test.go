package compat

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
	"github.com/interlock-dev/interlock/internal/workload"
)

var _ = Describe("An HTTPRoute of the Gateway API", func() {
	It("leads to the fallback while its model is not cleared, and is as it was afterwards", func(ctx SpecContext) {
		const namespace = "gateway"
		createPolicy(ctx, namespace, v1alpha1.ShortfallEvict)
		Expect(api.Create(ctx, builder.Namespace(namespace).Enforce(namespace).Build())).To(Succeed())
		Eventually(func() error {
			return api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
		}).Should(Succeed())
		route := gatewayAPI.sample(ctx, "examples/standard/traffic-splitting/simple-split.yaml", "HTTPRoute")[0]
		route.SetNamespace(namespace)
		route.SetLabels(map[string]string{v1alpha1.ModelLabel: "big"})
		big := builder.ModelDeployment(namespace, "big").Build()
		big.Spec.Fallback = &v1alpha1.Fallback{ModelDeployment: "small", HTTPRoutes: []v1alpha1.FallbackRoute{{
			Name: route.GetName(), Backends: []v1alpha1.FallbackBackend{{Service: "foo-v1", FallbackService: "foo-small"}}}}}
		limitsBig := builder.NetworkPolicy(namespace, "big").Model("big").Build()
		for _, o := range []client.Object{
			route, big, builder.ModelDeployment(namespace, "small").Build(), limitsBig.DeepCopy(),
			&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "foo-small"}, Spec: corev1.ServiceSpec{
				Selector: workload.SelectorOf("small", nil), Ports: []corev1.ServicePort{{Port: 8080}}}},
		} {
			Expect(api.Create(ctx, o)).To(Succeed())
		}
		read := func(ctx context.Context) (*unstructured.Unstructured, error) {
			o := &unstructured.Unstructured{}
			o.SetGroupVersionKind(route.GroupVersionKind())
			return o, api.Get(ctx, client.ObjectKeyFromObject(route), o)
		}
		backends := func(ctx context.Context) (names []string, err error) {
			o, err := read(ctx)
			rules, _, _ := unstructured.NestedSlice(o.Object, "spec", "rules")
			for _, rule := range rules {
				refs, _, _ := unstructured.NestedSlice(rule.(map[string]any), "backendRefs")
				for _, ref := range refs {
					names = append(names, ref.(map[string]any)["name"].(string))
				}
			}
			return names, err
		}
		// The one is cleared first: clients would go to the other meanwhile.
		for _, model := range []string{"big", "small"} {
			Expect(client.IgnoreAlreadyExists(api.Create(ctx, builder.NetworkPolicy(namespace, model).Model(model).Build()))).To(Succeed())
			Eventually(func() error { return api.Create(ctx, builder.Pod(namespace, model).Model(model).Build()) }).Should(Succeed(), "once its namespace is enrolled")
			Eventually(func(g Gomega) {
				md := &v1alpha1.ModelDeployment{}
				g.Expect(api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: model}, md)).To(Succeed())
				g.Expect(md.Status.Pods).To(HaveValue(HaveField("Admitted", BeEquivalentTo(1))), model)
			}).Should(Succeed())
		}
		before, err := read(ctx)
		Expect(err).NotTo(HaveOccurred())

		Expect(api.Delete(ctx, limitsBig)).To(Succeed())
		Eventually(backends).WithContext(ctx).Should(HaveExactElements("foo-small", "foo-v2"))
		Expect(api.Create(ctx, builder.NetworkPolicy(namespace, "big").Model("big").Build())).To(Succeed())
		Expect(client.IgnoreAlreadyExists(api.Create(ctx, builder.Pod(namespace, "another").Model("big").Build()))).To(Succeed())
		Eventually(backends).WithContext(ctx).Should(HaveExactElements("foo-v1", "foo-v2"))
		Eventually(func(g Gomega) {
			after, err := read(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(after.Object["spec"]).To(Equal(before.Object["spec"]))
			g.Expect(after.GetLabels()).To(Equal(before.GetLabels()))
			g.Expect(after.GetAnnotations()).To(BeEmpty())
			g.Expect(after.GetManagedFields()).NotTo(ContainElement(HaveField("Manager", workload.TrafficManager)))
		}).Should(Succeed())
	})
})
