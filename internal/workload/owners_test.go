package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func TestPlan(t *testing.T) {
	w := workloadsOn(t, serverWith(t))
	ref := func(group, kind string) Ref { return Ref{Group: group, Kind: kind, Namespace: "n", Name: "x"} }
	deploy, set, replicaSet, job := ref("apps", "Deployment"), ref("apps", "StatefulSet"), ref("apps", "ReplicaSet"), ref("batch", "Job")
	knative := []Ref{deploy, ref("serving.knative.dev", "Revision"), ref("serving.knative.dev", "Configuration"), ref("serving.knative.dev", "Service")}
	for name, tc := range map[string]struct {
		chain      []Ref
		is         Ref
		targets    []Ref
		cannotStop bool
	}{
		"nothing owns it":              {nil, ref("", "Pod"), nil, true},
		"a Deployment's":               {[]Ref{replicaSet, deploy}, deploy, []Ref{deploy}, false},
		"a Rollout's":                  {[]Ref{replicaSet, ref("argoproj.io", "Rollout")}, ref("argoproj.io", "Rollout"), []Ref{ref("argoproj.io", "Rollout")}, false},
		"a DaemonSet's":                {[]Ref{ref("apps", "DaemonSet")}, ref("apps", "DaemonSet"), nil, true},
		"a CronJob's, and its Job":     {[]Ref{job, ref("batch", "CronJob")}, ref("batch", "CronJob"), []Ref{ref("batch", "CronJob"), job}, false},
		"a JobSet's":                   {[]Ref{job, ref("jobset.x-k8s.io", "JobSet")}, ref("jobset.x-k8s.io", "JobSet"), []Ref{ref("jobset.x-k8s.io", "JobSet")}, false},
		"a group's worker":             {[]Ref{set, set, ref("leaderworkerset.x-k8s.io", "LeaderWorkerSet")}, ref("leaderworkerset.x-k8s.io", "LeaderWorkerSet"), []Ref{ref("leaderworkerset.x-k8s.io", "LeaderWorkerSet")}, false},
		"a RayService's":               {[]Ref{ref("ray.io", "RayCluster"), ref("ray.io", "RayService")}, ref("ray.io", "RayService"), []Ref{ref("ray.io", "RayService")}, false},
		"a Knative Service's":          {append([]Ref{replicaSet}, knative...), ref("serving.knative.dev", "Service"), nil, true},
		"an InferenceService's":        {append(knative, ref("serving.kserve.io", "InferenceService")), ref("serving.kserve.io", "InferenceService"), []Ref{ref("serving.kserve.io", "InferenceService")}, false},
		"of a kind that is not known":  {[]Ref{ref("example.com", "Fleet")}, ref("example.com", "Fleet"), nil, true},
		"of one that such a kind owns": {[]Ref{replicaSet, deploy, ref("example.com", "Fleet")}, deploy, []Ref{deploy}, false},
		"a namesake of another group":  {[]Ref{ref("example.com", "Deployment")}, ref("example.com", "Deployment"), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.plan(builder.Pod("n", "x").Build(), tc.chain)
			if diff := cmp.Diff(tc.is, got.Ref); diff != "" {
				t.Errorf("workload (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.targets, got.Targets); diff != "" {
				t.Errorf("targets (-want +got):\n%s", diff)
			}
			if (got.CannotStop != "") != tc.cannotStop {
				t.Errorf("cannot stop: %q", got.CannotStop)
			}
		})
	}
}

func ownedBy(kind, name, uid string) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID(uid), Controller: new(true)}
}

func TestFindFollowsOwners(t *testing.T) {
	d := deployment("llm", 3)
	replicaSet := func(name, uid string, owner metav1.OwnerReference) *appsv1.ReplicaSet {
		return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: name, UID: types.UID(uid), OwnerReferences: []metav1.OwnerReference{owner}}}
	}
	set := replicaSet("server-1", "set-uid", ownedBy("Deployment", d.Name, string(d.UID)))
	circle := replicaSet("circle", "circle-uid", ownedBy("ReplicaSet", "circle", "circle-uid"))
	pod := func(name string, owner ...metav1.OwnerReference) *corev1.Pod {
		b := builder.Pod("n", name)
		for _, o := range owner {
			b.Owner(o)
		}
		return b.Build()
	}
	for name, tc := range map[string]struct {
		pods []*corev1.Pod
		want []string
	}{
		"of one Deployment": {[]*corev1.Pod{pod("a", ownedBy("ReplicaSet", "server-1", "set-uid")), pod("b", ownedBy("ReplicaSet", "server-1", "set-uid"))},
			[]string{"Deployment server: a b"}},
		"a bare one besides": {[]*corev1.Pod{pod("a", ownedBy("ReplicaSet", "server-1", "set-uid")), pod("b")},
			[]string{"Deployment server: a", "Pod b: b"}},
		"of one that is gone":             {[]*corev1.Pod{pod("a", ownedBy("ReplicaSet", "gone", "gone-uid"))}, []string{"ReplicaSet gone: a"}},
		"of a namesake of what is gone":   {[]*corev1.Pod{pod("a", ownedBy("ReplicaSet", "server-1", "former-uid"))}, []string{"ReplicaSet server-1: a"}},
		"of owners that lead in a circle": {[]*corev1.Pod{pod("a", ownedBy("ReplicaSet", "circle", "circle-uid"))}, []string{"ReplicaSet circle: a"}},
		"of one that only owns, and does not control": {[]*corev1.Pod{pod("a", metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "server-1", UID: "set-uid"})},
			[]string{"Pod a: a"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := workloadsOn(t, serverWith(t, d.DeepCopy(), set.DeepCopy(), circle.DeepCopy()))
			for range 2 { // looked up, and remembered
				found, err := w.Find(t.Context(), tc.pods)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, one := range found {
					line := one.Ref.String() + ":"
					for _, p := range one.Pods {
						line += " " + p.Name
					}
					got = append(got, line)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("workloads (-want +got):\n%s", diff)
				}
			}
		})
	}
}
