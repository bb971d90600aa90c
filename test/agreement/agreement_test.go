// Package agreement asks a real API server with the operator, and `kubectl interlock check`, about the same manifests, and wants the same
// answer: each model's verdict with every safeguard, and each pod's fate.
//
// Worlds are drawn from a seed, which the test prints. -agreement.worlds draws more of them.
package agreement

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/check"
	"github.com/interlock-dev/interlock/internal/manifests"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/controlplane"
	"github.com/interlock-dev/interlock/internal/testing/stack"
	"github.com/interlock-dev/interlock/internal/workload"
)

var (
	seed  = flag.Uint64("agreement.seed", 0, "the seed of the worlds; zero draws one")
	only  = flag.Int("agreement.only", -1, "the number of the one world to ask about; -1 asks about all")
	count = flag.Int("agreement.worlds", 100, "how many worlds are drawn")
)

// atOnce is how many worlds are asked about at a time, and patience how long the cluster may take for one.
const (
	atOnce   = 8
	patience = 40 * time.Second
)

func TestCheckAndClusterAgree(t *testing.T) {
	if os.Getenv(controlplane.AssetsVariable) == "" {
		t.Skipf("starts a control plane: run it with `make test`, which sets %s", controlplane.AssetsVariable)
	}
	drawn := cmp.Or(*seed, rand.Uint64())
	t.Logf("seed %d: repeat it with -agreement.seed=%d", drawn, drawn)
	r := rand.New(rand.NewPCG(drawn, 0))
	log.SetLogger(logr.Discard())
	api := start(t)
	compiler, err := check.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("on defaults", func(t *testing.T) { compareDefaults(t, api) })
	var group sync.WaitGroup
	limit := make(chan struct{}, atOnce)
	fates := map[string]int{}
	var mu sync.Mutex
	for i := range *count {
		w := draw(t, r, fmt.Sprintf("agree-%d", i))
		if *only >= 0 && *only != i {
			continue
		}
		said := ask(t, compiler, w)
		limit <- struct{}{}
		group.Go(func() {
			defer func() { <-limit }()
			compare(t, api, w, said)
			mu.Lock()
			defer mu.Unlock()
			for _, v := range said.verdicts {
				fates[v]++
			}
			for _, f := range said.fates {
				fates[f]++
			}
		})
	}
	group.Wait()
	for _, must := range []string{"Cleared", "Held", starts, doesNotStart} {
		if !slices.ContainsFunc(slices.Collect(keys(fates)), func(k string) bool { return strings.HasPrefix(k, must) }) && *count >= 100 && *only < 0 {
			t.Errorf("no world was drawn of which the answer is %q: %v", must, fates)
		}
	}
	t.Logf("%d worlds", *count)
}

func keys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// start starts Interlock with the policies, and waits until they are enforced.
func start(t *testing.T) client.Client {
	t.Helper()
	ctx := t.Context()
	binary := filepath.Join(t.TempDir(), "manager")
	if err := stack.BuildManager(ctx, binary); err != nil {
		t.Fatal(err)
	}
	s, err := stack.Start(ctx, stack.Options{Manager: binary, Nodes: controlplane.Nodes(2, 8), Untyped: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	// A DaemonSet makes pods for the nodes that these demand.
	if _, err := s.Kubectl(ctx, "label", "nodes", "--all", "interlock.dev.node-restriction.kubernetes.io/dedicated=models"); err != nil {
		t.Fatal(err)
	}
	m, err := s.StartManager(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.Report())
		}
	})
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	api, err := client.New(s.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range policyObjects(t) {
		if err := api.Create(ctx, o.Unstructured); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Kubectl(ctx, "wait", "--for=condition=Ready", "--timeout=60s", "safeguards,scalingpolicies", "--all"); err != nil {
		t.Fatal(err)
	}
	return api
}

// policyObjects are what the policies are made of.
func policyObjects(t *testing.T) []manifests.Object {
	t.Helper()
	root, err := controlplane.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, folder := range policies {
		folders = append(folders, filepath.Join(root, folder))
	}
	slices.Sort(folders)
	objects, problems := manifests.Read(folders, nil)
	for _, p := range problems {
		t.Fatal(p)
	}
	return objects
}

const (
	starts       = "starts"
	doesNotStart = "does not start"
)

// answers are what is said of a world: a line for each model and each workload.
type answers struct {
	verdicts, fates map[string]string
}

// ask asks check.
func ask(t *testing.T, compiler *check.Compiler, w *world) answers {
	t.Helper()
	objects, problems := manifests.Read([]string{manifests.StandardInput}, strings.NewReader(w.manifests(t)))
	all := append(policyObjects(t), objects...)
	reader := manifests.NewWorld(nil)
	problems = append(problems, reader.Apply(all, time.Now())...)
	for _, p := range problems {
		t.Fatalf("%s, %v: %v", w.name, w.changed, p)
	}
	kinds, err := workload.LoadKinds("")
	if err != nil {
		t.Fatal(err)
	}
	result, err := check.Run(t.Context(), check.Input{World: reader, Objects: all, Kinds: kinds, Compiler: compiler, Now: time.Now(),
		Install: admission.Install{Namespace: "interlock-system"}, EvidenceNamespace: "interlock-evidence"})
	if err != nil {
		t.Fatalf("%s, %v: %v", w.name, w.changed, err)
	}
	said := answers{map[string]string{}, map[string]string{}}
	for i := range result.Models {
		m := &result.Models[i]
		if m.Verdict == check.OutcomeNotEnforced {
			continue
		}
		said.verdicts[m.Name] = fmt.Sprintf("%s %s, %s/%s, %s", m.Verdict, m.Reason, m.DeploymentLevel, m.SecurityLevel, m.SafeguardsMet)
	}
	for i := range result.Workloads {
		wl := &result.Workloads[i]
		said.fates[wl.Kind+" "+wl.Name] = doesNotStart
		if wl.Passes() {
			said.fates[wl.Kind+" "+wl.Name] = starts
		}
	}
	return said
}

// compare applies a world, and waits until the cluster says the same.
func compare(t *testing.T, api client.Client, w *world, said answers) {
	ctx := t.Context()
	refused := map[string]bool{}
	for _, o := range w.modelsLast() {
		if o.GetKind() == "ModelDeployment" {
			if err := awaitPods(ctx, api, w, refused); err != nil {
				t.Errorf("%s, %q: the workloads make no pods: %v\nEvents:\n%s", w.name, w.changed, err, eventsOf(ctx, api, w))
				return
			}
		}
		err := apply(ctx, api, o.DeepCopy())
		if err != nil && o.GetKind() == "Pod" {
			refused["Pod "+o.GetName()] = true
		} else if err != nil {
			t.Errorf("%s, %q: %v", w.name, w.changed, err)
			return
		}
	}
	var difference string
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		found, err := look(ctx, api, w, refused)
		if err != nil {
			if ctx.Err() == nil {
				difference = err.Error()
			}
			return false, nil
		}
		difference = gocmp.Diff(said.verdicts, found.verdicts) + gocmp.Diff(said.fates, found.fates)
		return difference == "", nil
	})
	if err != nil {
		t.Errorf("%s, drawn with %q: check and the cluster differ (-check +cluster):\n%s\nEvents:\n%s", w.name, w.changed, difference, eventsOf(ctx, api, w))
	}
}

// eventsOf tells what happened in a world, for whoever has to find out why two answers differ.
func eventsOf(ctx context.Context, api client.Client, w *world) string {
	list := &corev1.EventList{}
	if err := api.List(ctx, list, client.InNamespace(w.name)); err != nil {
		return err.Error()
	}
	var all strings.Builder
	for i := range list.Items {
		e := &list.Items[i]
		fmt.Fprintf(&all, "%s %s/%s %s %.300s\n", cmp.Or(e.EventTime.Time, e.LastTimestamp.Time).Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return all.String()
}

// apply creates an object. In a new namespace it waits for its service account, without which there are no pods, and for its enrolment.
func apply(ctx context.Context, api client.Client, o *unstructured.Unstructured) error {
	if err := api.Create(ctx, o); err != nil || o.GetKind() != "Namespace" {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		if api.Get(ctx, client.ObjectKey{Namespace: o.GetName(), Name: "default"}, &corev1.ServiceAccount{}) != nil {
			return false, nil
		}
		_, enforced := o.GetLabels()[v1alpha1.EnforceLabel]
		probe := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
		probe.Namespace, probe.Name, probe.Labels = o.GetName(), "probe", map[string]string{v1alpha1.ModelLabel: "none"}
		err := api.Create(ctx, probe, client.DryRunAll)
		return !enforced || err == nil && safeguard.Held(probe), nil
	})
}

// awaitPods waits until each workload has a pod, or was told that it may not have any. A model is decided by its pods; while it has none
// it is cleared, and then pods that break a rule are refused instead of held.
func awaitPods(ctx context.Context, api client.Client, w *world, refused map[string]bool) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		pods, events := &corev1.PodList{}, &corev1.EventList{}
		if err := errors.Join(api.List(ctx, pods, client.InNamespace(w.name)), api.List(ctx, events, client.InNamespace(w.name))); err != nil {
			return false, nil
		}
		for _, o := range w.objects {
			made := slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return isOf(p.Name, o) }) ||
				slices.ContainsFunc(events.Items, func(e corev1.Event) bool { return e.Reason == "FailedCreate" && isOf(e.InvolvedObject.Name, o) })
			if workloads[o.GetKind()] && !made && !refused[o.GetKind()+" "+o.GetName()] {
				return false, nil
			}
		}
		return true, nil
	})
}

// workloads are the kinds that are drawn.
var workloads = map[string]bool{"Deployment": true, "StatefulSet": true, "ReplicaSet": true, "DaemonSet": true, "Job": true, "Pod": true}

// isOf says whether a pod, or what makes pods, has the name of one of a workload.
func isOf(name string, o *unstructured.Unstructured) bool {
	return name == o.GetName() || strings.HasPrefix(name, o.GetName()+"-")
}

// look sees what the cluster says.
func look(ctx context.Context, api client.Client, w *world, refused map[string]bool) (answers, error) {
	found := answers{map[string]string{}, map[string]string{}}
	models := &v1alpha1.ModelDeploymentList{}
	if err := api.List(ctx, models, client.InNamespace(w.name)); err != nil {
		return found, err
	}
	for i := range models.Items {
		m := &models.Items[i]
		s := &m.Status
		ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
		if ready == nil || s.ObservedGeneration != m.Generation {
			return found, fmt.Errorf("model %s has no verdict yet", m.Name)
		}
		if s.Verdict != "" {
			found.verdicts[m.Name] = fmt.Sprintf("%s %s, %s/%s, %s", s.Verdict, ready.Reason, s.DeploymentLevel, s.SecurityLevel, s.SafeguardsMet)
		}
	}
	pods := &corev1.PodList{}
	if err := api.List(ctx, pods, client.InNamespace(w.name)); err != nil {
		return found, err
	}
	for _, o := range w.objects {
		if !workloads[o.GetKind()] {
			continue
		}
		name := o.GetKind() + " " + o.GetName()
		found.fates[name] = doesNotStart
		for i := range pods.Items {
			p := &pods.Items[i]
			if isOf(p.Name, o) && !safeguard.Held(p) && !refused[name] {
				found.fates[name] = starts
			}
		}
	}
	return found, nil
}
