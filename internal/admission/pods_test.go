package admission_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var (
	pods     = corev1.SchemeGroupVersion.WithResource("pods")
	enforced = map[string]string{v1alpha1.EnforceLabel: "rsp-v2.2"}
)

const (
	gate    = v1alpha1.ClearanceGate
	foreign = "another.example/gate"
)

// rulesOfTests are two Safeguards. The first ends in a comment, as any expression may.
func rulesOfTests() []admission.Rule {
	return []admission.Rule{
		{Safeguard: "image-pinned", Remedy: "name images by digest", Validations: []v1alpha1.PodValidation{{
			Expression: `containers.all(c, c.image.contains('@sha256:')) // all kinds`,
			Message:    "an image is named by a tag"}}},
		{Safeguard: "no-host", Remedy: "leave the host alone", Validations: []v1alpha1.PodValidation{
			{Expression: `!object.spec.?hostNetwork.orValue(false)`, Message: "the pod is on the host's network"},
			{Expression: `!object.spec.?hostPID.orValue(false)`, Message: "the pod sees the host's processes"}}},
	}
}

// standing is that of one model.
type standing struct {
	model string
	admission.Standing
}

func clearancesOf(models ...standing) admission.Clearances {
	c := admission.Clearances{Policy: "rsp-v2.2", Models: map[string]admission.Standing{}}
	for _, m := range models {
		c.Models[m.model] = m.Standing
	}
	return c
}

// enforcing is how the API server is told of clearances.
func enforcing(c admission.Clearances) *corev1.LimitRange {
	data, _ := c.Annotations()
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: v1alpha1.ClearancesName, Annotations: data}}
}

func clearing(models ...standing) *corev1.LimitRange { return enforcing(clearancesOf(models...)) }

func cleared(model, until string, rules ...string) standing {
	return standing{model, admission.Standing{ValidUntil: at(until), Rules: rules}}
}

func (s standing) exempt(pod, safeguard, until string) standing {
	s.Exemptions = append(s.Exemptions, decision.Exemption{Pod: pod, Safeguard: safeguard, Until: at(until)})
	return s
}

func (s standing) given(safeguards ...string) standing {
	s.Adjustments = safeguards
	return s
}

func (s standing) declaring(sources ...string) standing {
	s.Weights = sources
	return s
}

// TestExemptedPods is about pods with an image by tag, of which one is exempted from the rule that forbids it.
func TestExemptedPods(t *testing.T) {
	clearances := clearing(
		cleared("opus", "09:00:00", "image-pinned", "no-host").exempt("canary", "image-pinned", "08:30:00").exempt("late", "image-pinned", "08:10:00"),
		cleared("us", "09:00:00", "image-pinned"), cleared("haiku", "09:00:00", "image-pinned", "no-host"),
		cleared("llama", "09:00:00").exempt("canary", "image-pinned", "08:30:00"))
	server := newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(clearances)
	tooLong := newAPIServer(t, admission.Policies(install, append(long(), rulesOfTests()...)), enforced).put(clearances)
	tagged, host := "Safeguard image-pinned: an image is named by a tag. name images by digest", "Safeguard no-host: the pod is on the host's network. leave the host alone"
	for name, tc := range map[string]struct {
		model, pod string
		host       bool
		want       []string // of a new pod
		changed    []string
	}{
		"the one that is":                   {model: "opus", pod: "canary"},
		"of the one rule alone":             {model: "opus", pod: "canary", host: true, want: []string{host}, changed: []string{host}},
		"another one":                       {model: "opus", pod: "canary-2", want: []string{tagged}, changed: []string{tagged}},
		"a part of the name":                {model: "opus", pod: "canar", want: []string{tagged}, changed: []string{tagged}},
		"of another model":                  {model: "haiku", pod: "canary", want: []string{tagged}, changed: []string{tagged}},
		"of a model that another ends like": {model: "us", pod: "canary", want: []string{tagged}, changed: []string{tagged}},
		"one whose exemption is over":       {model: "opus", pod: "late", want: []string{tagged}},
	} {
		for how, server := range map[string]*apiServer{"in one expression": server, "in validations": tooLong} {
			bothServers(t, name+"/"+how, server, func(t *testing.T, s *apiServer) {
				b := builder.Pod("serving", tc.pod).Model(tc.model).Image(builder.TaggedImage)
				if tc.host {
					b = b.HostNetwork()
				}
				p := b.Build()
				before := builder.Pod("serving", tc.pod).Model(tc.model).Image("x@sha256:y").Build()
				for what, denials := range map[string][][]string{
					"a new pod":     {s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: p}).denials, prefixed("interlock-admit: ", tc.want)},
					"a changed pod": {s.serve(t, request{user: "ann", operation: apiadmission.Update, resource: pods, object: p, old: before}).denials, prefixed("interlock-guard: ", tc.changed)},
				} {
					if diff := cmp.Diff(denials[1], denials[0]); diff != "" {
						t.Errorf("%s (-want +got):\n%s", what, diff)
					}
				}
			})
		}
	}
}

// at is a time of the day of the tests, which begin at 08:10:00.
func at(clock string) time.Time {
	t, err := time.Parse(time.RFC3339, "2026-05-14T"+clock+"Z")
	if err != nil {
		panic(err)
	}
	return t
}

func pod() *builder.PodBuilder { return builder.Pod("serving", "vllm-0") }

// bothServers runs a test as the API server is now, and as it was before it looked into objects by reflection.
func bothServers(t *testing.T, name string, s *apiServer, test func(*testing.T, *apiServer)) {
	t.Helper()
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprintf("%s/before 1.37: %v", name, before), func(t *testing.T) {
			server := *s
			server.before137 = before
			test(t, &server)
		})
	}
}

func podOf(t failing, o runtime.Object) *corev1.Pod {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &corev1.Pod{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, p); err != nil {
		t.Fatal(err)
	}
	return p
}

func gatesOf(p *corev1.Pod) string {
	var names []string
	for _, g := range p.Spec.SchedulingGates {
		names = append(names, g.Name)
	}
	return strings.Join(names, " ")
}

// TestNewPods is what becomes of a pod that somebody creates in an enrolled namespace.
func TestNewPods(t *testing.T) {
	clearances := clearancesOf(
		cleared("opus", "09:00:00", "image-pinned"), cleared("opus-5-mini", "09:00:00", "image-pinned"), cleared("sonnet", "09:00:00"),
		cleared("strict", "09:00:00", "no-host", "image-pinned", "egress-allow-list"),
		cleared("just-over", "08:10:00"), cleared("just-not", "08:10:01"), cleared("retired", "08:00:00", "image-pinned"))
	server := newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(enforcing(clearances))
	withDefault := func(model string) *apiServer {
		with := clearances
		with.DefaultModel = model
		return newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(enforcing(with))
	}
	covering := func(coverage string) *apiServer {
		with := clearances
		with.Coverage = coverage
		return newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(enforcing(with))
	}
	const (
		namesNone = "interlock-admit: the namespace is enrolled with Interlock: a pod must name the ModelDeployment that it serves in the label interlock.dev/model"
		notTold   = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
	)
	type want struct {
		// gates and model of the pod that is stored; denied, if it is not.
		gates, model string
		denied       []string
	}
	for name, tc := range map[string]struct {
		server *apiServer
		pod    *builder.PodBuilder
		want   want
	}{
		"cleared and as it should be":       {server, pod().Model("opus"), want{model: "opus"}},
		"cleared, no rules":                 {server, pod().Model("sonnet").Image(builder.TaggedImage), want{model: "sonnet"}},
		"cleared, breaks what is not asked": {server, pod().Model("opus").HostNetwork(), want{model: "opus"}},
		"cleared, breaks a rule": {server, pod().Model("opus").Image(builder.TaggedImage), want{model: "opus",
			denied: []string{"interlock-admit: Safeguard image-pinned: an image is named by a tag. name images by digest"}}},
		"cleared, breaks a rule in an init container": {server, pod().Model("opus").InitContainer("fetch", builder.TaggedImage), want{model: "opus",
			denied: []string{"interlock-admit: Safeguard image-pinned: an image is named by a tag. name images by digest"}}},
		"cleared, breaks several": {server, pod().Model("strict").Image(builder.TaggedImage).HostNetwork(), want{model: "strict", denied: []string{
			"interlock-admit: Safeguard image-pinned: an image is named by a tag. name images by digest",
			"interlock-admit: Safeguard no-host: the pod is on the host's network. leave the host alone"}}},
		"cleared, breaks the second half of a rule": {server, pod().Model("strict").With(func(p *corev1.Pod) { p.Spec.HostPID = true }), want{model: "strict", denied: []string{
			"interlock-admit: Safeguard no-host: the pod sees the host's processes. leave the host alone"}}},
		"cleared, with a gate of its own":          {server, pod().Model("opus").Gate(foreign), want{gates: foreign, model: "opus"}},
		"cleared, gated by its author":             {server, pod().Model("opus").Gate(gate), want{gates: gate, model: "opus"}},
		"cleared, gated by its author, and broken": {server, pod().Model("opus").Gate(gate).Image(builder.TaggedImage), want{gates: gate, model: "opus"}},
		"not cleared":                            {server, pod().Model("haiku"), want{gates: gate, model: "haiku"}},
		"not cleared, with a gate of its own":    {server, pod().Model("haiku").Gate(foreign), want{gates: foreign + " " + gate, model: "haiku"}},
		"not cleared, gated by its author":       {server, pod().Model("haiku").Gate(gate).Gate(foreign), want{gates: gate + " " + foreign, model: "haiku"}},
		"not cleared, and breaks rules":          {server, pod().Model("haiku").Image(builder.TaggedImage).HostNetwork(), want{gates: gate, model: "haiku"}},
		"a name that begins one that is cleared": {server, pod().Model("opus-5"), want{gates: gate, model: "opus-5"}},
		"a name that ends one that is cleared":   {server, pod().Model("mini"), want{gates: gate, model: "mini"}},
		"a name within one that is cleared":      {server, pod().Model("5"), want{gates: gate, model: "5"}},
		"the lease ends this very second": {server, pod().Model("just-over"), want{model: "just-over", denied: []string{
			`interlock-admit: the clearance of model "just-over" ran out at 2026-05-14T08:10:00Z, and Interlock has not renewed it: no new pod may start`}}},
		"the lease ends the second after": {server, pod().Model("just-not"), want{model: "just-not"}},
		"the lease is over, and a rule broken": {server, pod().Model("retired").Image(builder.TaggedImage), want{model: "retired", denied: []string{
			`interlock-admit: the clearance of model "retired" ran out at 2026-05-14T08:00:00Z, and Interlock has not renewed it: no new pod may start`,
			"interlock-admit: Safeguard image-pinned: an image is named by a tag. name images by digest"}}},
		"the lease is over, gated by its author": {server, pod().Model("retired").Gate(gate), want{gates: gate, model: "retired"}},
		"a creation time of the author's choice": {server, pod().Model("retired").With(func(p *corev1.Pod) {
			p.CreationTimestamp = metav1.NewTime(at("07:00:00"))
		}), want{model: "retired", denied: []string{
			`interlock-admit: the clearance of model "retired" ran out at 2026-05-14T08:00:00Z, and Interlock has not renewed it: no new pod may start`}}},
		"names no model":                      {server, pod(), want{denied: []string{namesNone}}},
		"names no model, among other labels":  {server, pod().Label("app", "vllm"), want{denied: []string{namesNone}}},
		"an empty name":                       {server, pod().Model(""), want{denied: []string{namesNone}}},
		"names no model, gated by its author": {server, pod().Gate(gate), want{gates: gate, denied: []string{namesNone}}},
		"the default is cleared":              {withDefault("opus"), pod(), want{model: "opus"}},
		"the default is cleared, broken": {withDefault("opus"), pod().Image(builder.TaggedImage), want{model: "opus",
			denied: []string{"interlock-admit: Safeguard image-pinned: an image is named by a tag. name images by digest"}}},
		"the default is not cleared":              {withDefault("haiku"), pod().Label("app", "vllm"), want{gates: gate, model: "haiku"}},
		"the default in place of an empty name":   {withDefault("haiku"), pod().Model(""), want{gates: gate, model: "haiku"}},
		"the default, with a gate of its own":     {withDefault("haiku"), pod().Gate(foreign), want{gates: foreign + " " + gate, model: "haiku"}},
		"the default, gated by its author":        {withDefault("haiku"), pod().Gate(gate), want{gates: gate, model: "haiku"}},
		"the default gives way to a name":         {withDefault("haiku"), pod().Model("opus"), want{model: "opus"}},
		"accelerators: asks for none":             {covering("accelerators"), pod(), want{}},
		"accelerators: asks for one":              {covering("accelerators"), pod().GPUs(1), want{denied: []string{namesNone}}},
		"accelerators: asks in an init container": {covering("accelerators"), pod().InitContainer("fetch", builder.PinnedImage).GPUsInInit(1), want{denied: []string{namesNone}}},
		"accelerators: claims a device": {covering("accelerators"), pod().With(func(p *corev1.Pod) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: new("gpu")}}
		}), want{denied: []string{namesNone}}},
		"accelerators: names a model all the same": {covering("accelerators"), pod().Model("haiku"), want{gates: gate, model: "haiku"}},
		"a coverage that nobody knows":             {covering("nothing"), pod(), want{denied: []string{namesNone}}},
		"no clearances": {newAPIServer(t, admission.Policies(install, nil), enforced), pod().Model("opus"), want{model: "opus", denied: []string{
			"interlock-hold: " + notTold, "interlock-admit: " + notTold}}},
		"clearances of no model": {newAPIServer(t, admission.Policies(install, nil), enforced).put(clearing()), pod().Model("opus"), want{gates: gate, model: "opus"}},
		"not enrolled":           {newAPIServer(t, admission.Policies(install, rulesOfTests()), nil).put(enforcing(clearances)), pod().Model("haiku"), want{model: "haiku"}},
		"only warned": {newAPIServer(t, admission.Policies(install, rulesOfTests()), map[string]string{v1alpha1.WarnLabel: "rsp-v2.2"}).put(enforcing(clearances)),
			pod().Model("haiku"), want{model: "haiku"}},
		"a namespace that can never be enrolled": {newAPIServer(t, admission.Policies(install, rulesOfTests()),
			map[string]string{v1alpha1.EnforceLabel: "rsp-v2.2", corev1.LabelMetadataName: "interlock-system"}), pod(), want{}},
	} {
		bothServers(t, name, tc.server, func(t *testing.T, s *apiServer) {
			a := s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: tc.pod.Build()})
			made := podOf(t, a.object)
			got := want{gatesOf(made), made.Labels[v1alpha1.ModelLabel], a.denials}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Errorf("what becomes of the pod (-want +got):\n%s", diff)
			}
			if app := tc.pod.Build().Labels["app"]; made.Labels["app"] != app {
				t.Errorf("label app is %q, and was %q", made.Labels["app"], app)
			}
		})
	}
}

// TestManyRules is about more rules than one expression can hold.
func TestManyRules(t *testing.T) {
	asked := []string{"image-pinned"}
	for _, r := range long() {
		asked = append(asked, r.Safeguard)
	}
	server := newAPIServer(t, admission.Policies(install, append(long(), rulesOfTests()...)), enforced).
		put(clearing(cleared("opus", "09:00:00", asked...), cleared("sonnet", "09:00:00"), cleared("retired", "08:00:00", asked...)))
	for name, tc := range map[string]struct {
		pod    *builder.PodBuilder
		gates  string
		denied int
	}{
		"all met":           {pod().Model("opus"), "", 0},
		"one broken":        {pod().Model("opus").Image(builder.TaggedImage), "", 1},
		"broken, not asked": {pod().Model("opus").HostNetwork(), "", 0},
		"none asked":        {pod().Model("sonnet").Image(builder.TaggedImage), "", 0},
		"not cleared":       {pod().Model("haiku"), gate, 0},
		"the lease is over": {pod().Model("retired"), "", 1},
		"names no model":    {pod(), "", 1},
	} {
		bothServers(t, name, server, func(t *testing.T, s *apiServer) {
			a := s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: tc.pod.Build()})
			if gates := gatesOf(podOf(t, a.object)); gates != tc.gates || len(a.denials) != tc.denied {
				t.Errorf("gates %q, denials %q, want %q and %d", gates, a.denials, tc.gates, tc.denied)
			}
		})
	}
}

// TestChangedPods is what becomes of changes of pods that exist.
func TestChangedPods(t *testing.T) {
	clearances := clearing(cleared("opus", "09:00:00", "image-pinned"), cleared("retired", "08:00:00", "image-pinned"))
	server := newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(clearances)
	const (
		frozen      = "interlock-guard: the label interlock.dev/model cannot change once the pod exists; delete the pod and create it anew"
		gateIsOurs  = "interlock-guard: only Interlock takes the scheduling gate interlock.dev/clearance away, once the model is cleared"
		broken      = "interlock-guard: Safeguard image-pinned: an image is named by a tag. name images by digest"
		haikuIsHeld = `interlock-guard: model "haiku" is not cleared: its pods can neither be released nor changed`
		namesNone   = "interlock-guard: the namespace is enrolled with Interlock: a pod must name the ModelDeployment that it serves in the label interlock.dev/model"
	)
	running, waiting := func() *builder.PodBuilder { return pod().Model("opus") }, func() *builder.PodBuilder { return pod().Model("opus").Gate(foreign).Gate(gate) }
	deleted := func(p *corev1.Pod) {
		p.DeletionTimestamp, p.Finalizers = &metav1.Time{Time: at("08:00:00")}, []string{"example.com/stay"}
	}
	debugged := func(p *corev1.Pod) {
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
	}
	for name, tc := range map[string]struct {
		user, subresource string
		old, changed      *builder.PodBuilder
		denied            []string
	}{
		"nothing that runs changes":                        {"ann", "", running(), running().Annotation("a", "b").Label("app", "vllm"), nil},
		"nothing that runs, not cleared":                   {"ann", "", pod().Model("haiku"), pod().Model("haiku").Annotation("a", "b"), nil},
		"nothing that runs, a finalizer":                   {"ann", "", running().With(deleted), running(), nil},
		"an image, as it should be":                        {"ann", "", running(), running().Image(builder.PinnedImage + "0"), nil},
		"an image by a tag":                                {"ann", "", running(), running().Image(builder.TaggedImage), []string{broken}},
		"an image by a tag, while deleted":                 {"ann", "", running().With(deleted), running().With(deleted).Image(builder.TaggedImage), []string{broken}},
		"an image by a tag, by the operator":               {install.Username, "", running(), running().Image(builder.TaggedImage), []string{broken}},
		"an image, not cleared":                            {"ann", "", pod().Model("haiku"), pod().Model("haiku").Image(builder.PinnedImage + "0"), []string{haikuIsHeld}},
		"an image while it waits":                          {"ann", "", waiting(), waiting().Image(builder.TaggedImage), nil},
		"an image while it waits, not cleared":             {"ann", "", pod().Model("haiku").Gate(gate), pod().Model("haiku").Gate(gate).Image(builder.TaggedImage), nil},
		"debugged with what breaks a rule":                 {"ann", "ephemeralcontainers", running(), running().With(debugged), []string{broken}},
		"resized":                                          {"ann", "resize", running(), running().GPUs(2), nil},
		"resized, not cleared":                             {"ann", "resize", pod().Model("haiku"), pod().Model("haiku").GPUs(2), []string{haikuIsHeld}},
		"another model":                                    {"ann", "", running(), running().Model("haiku"), []string{frozen, haikuIsHeld}},
		"another model that is cleared":                    {"ann", "", pod().Model("haiku"), running(), []string{frozen}},
		"another model, while it waits":                    {"ann", "", waiting(), waiting().Model("haiku"), []string{frozen}},
		"another model, by the operator":                   {install.Username, "", pod().Model("haiku"), running(), []string{frozen}},
		"no model any more":                                {"ann", "", running(), pod(), []string{frozen, namesNone}},
		"an empty model":                                   {"ann", "", running(), running().Model(""), []string{frozen, namesNone}},
		"an empty model where there was none":              {"ann", "", pod().Gate(gate), pod().Gate(gate).Model(""), []string{frozen}},
		"a model where there was none":                     {"ann", "", pod(), running(), []string{frozen}},
		"another model in the status":                      {"ann", "status", running(), running().Model("haiku"), []string{strings.Replace(frozen, "guard", "identity", 1)}},
		"the status":                                       {"kubelet", "status", running(), running().With(func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning }), nil},
		"our gate, by its author":                          {"ann", "", waiting(), pod().Model("opus").Gate(foreign), []string{gateIsOurs}},
		"all gates, by its author":                         {"ann", "", waiting(), running(), []string{gateIsOurs}},
		"our gate replaced by another":                     {"ann", "", pod().Model("opus").Gate(gate), pod().Model("opus").Gate(foreign), []string{gateIsOurs}},
		"the other gate, by its author":                    {"ann", "", waiting(), pod().Model("opus").Gate(gate), nil},
		"our gate, by the operator":                        {install.Username, "", waiting(), pod().Model("opus").Gate(foreign), nil},
		"our gate, by the operator, not cleared":           {install.Username, "", pod().Model("haiku").Gate(gate), pod().Model("haiku"), []string{haikuIsHeld}},
		"our gate, by the operator, broken":                {install.Username, "", waiting().Image(builder.TaggedImage), running().Image(builder.TaggedImage), []string{broken}},
		"our gate, by one who is called like the operator": {install.Username + "x", "", waiting(), running(), []string{gateIsOurs}},
		"a stray that ran before":                          {"ann", "", pod(), pod().Image(builder.PinnedImage + "0"), []string{namesNone}},
	} {
		bothServers(t, name, server, func(t *testing.T, s *apiServer) {
			a := s.serve(t, request{user: tc.user, operation: apiadmission.Update, resource: pods, subresource: tc.subresource,
				object: tc.changed.Build(), old: tc.old.Build()})
			if diff := cmp.Diff(tc.denied, a.denials); diff != "" {
				t.Errorf("denials (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.changed.Build().Spec, podOf(t, a.object).Spec); diff != "" {
				t.Errorf("the pod was mutated (-sent +stored):\n%s", diff)
			}
		})
	}
}

func TestChangedPodsWithoutLedger(t *testing.T) {
	bothServers(t, "no clearances", newAPIServer(t, admission.Policies(install, nil), enforced), func(t *testing.T, s *apiServer) {
		a := s.serve(t, request{user: install.Username, operation: apiadmission.Update, resource: pods, object: pod().Model("opus").Build(), old: pod().Model("opus").Gate(gate).Build()})
		if len(a.denials) == 0 {
			t.Error("the gate can go where there are no clearances")
		}
	})
}

// TestBindings: a Binding carries labels onto the pod, so it must not carry ours.
func TestBindings(t *testing.T) {
	server := newAPIServer(t, admission.Policies(install, nil), enforced).put(clearing())
	binding := func(labels map[string]string) *corev1.Binding {
		return &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "vllm-0", Labels: labels}, Target: corev1.ObjectReference{Kind: "Node", Name: "gpu-0"}}
	}
	for name, tc := range map[string]struct {
		resource, subresource string
		binding               *corev1.Binding
		denied                bool
	}{
		"plain":                {"pods", "binding", binding(nil), false},
		"other labels":         {"pods", "binding", binding(map[string]string{"zone": "a"}), true},
		"a model":              {"pods", "binding", binding(map[string]string{v1alpha1.ModelLabel: "opus"}), true},
		"an empty model":       {"pods", "binding", binding(map[string]string{v1alpha1.ModelLabel: ""}), true},
		"a model, the old way": {"bindings", "", binding(map[string]string{v1alpha1.ModelLabel: "opus"}), true},
	} {
		bothServers(t, name, server, func(t *testing.T, s *apiServer) {
			a := s.serve(t, request{user: "scheduler", operation: apiadmission.Create, object: tc.binding,
				resource: corev1.SchemeGroupVersion.WithResource(tc.resource), subresource: tc.subresource})
			if len(a.denials) > 0 != tc.denied {
				t.Errorf("denials: %q, want some: %v", a.denials, tc.denied)
			}
		})
	}
}
