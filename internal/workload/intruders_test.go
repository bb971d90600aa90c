package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func TestIntruders(t *testing.T) {
	model := types.NamespacedName{Namespace: "n", Name: "llm"}
	pod := func(name, version string) *corev1.Pod {
		p := builder.Pod("n", name).Model("llm").Build()
		p.UID, p.ResourceVersion = types.UID(name), version
		return p
	}
	before, after, unseen := pod("before", "9"), pod("after", "101"), pod("unseen", "200")
	for name, tc := range map[string]struct {
		then func(*Intruders)
		want []string
	}{
		"revoked between the two":       {func(i *Intruders) { i.Lost(model, "10") }, []string{"after"}},
		"not revoked":                   {func(*Intruders) {}, nil},
		"another model is":              {func(i *Intruders) { i.Lost(types.NamespacedName{Namespace: "n", Name: "other"}, "10") }, nil},
		"cleared again":                 {func(i *Intruders) { i.Lost(model, "10"); i.Regained(model) }, nil},
		"cleared and revoked again":     {func(i *Intruders) { i.Lost(model, "10"); i.Regained(model); i.Lost(model, "150") }, nil},
		"gone":                          {func(i *Intruders) { i.Lost(model, "10"); i.Gone(after) }, nil},
		"seen again in a newer version": {func(i *Intruders) { i.Lost(model, "150"); before.ResourceVersion = "170" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			i := &Intruders{}
			i.Pass(pod("before", "9"))
			i.Pass(after)
			tc.then(i)
			var got []string
			for _, p := range i.Among(model, []*corev1.Pod{before, after, unseen}) {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("intruders (-want +got):\n%s", diff)
			}
		})
	}
}
