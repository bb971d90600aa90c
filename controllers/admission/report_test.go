package admission

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

func TestAChangedPolicyIsToldOfOnce(t *testing.T) {
	policy := builder.ScalingPolicy("rsp").Level(builder.Level(builder.ASL2).Deployment("a")).Build()
	r, recorder := reconciler(t, "nothing is refused", policy, ruled("a"), ruled("unnamed"),
		builder.Namespace("enforced").Enforce("rsp").Build(), builder.Namespace("warned").Enforce("other").Warn("rsp").Build(),
		builder.Namespace("both").Enforce("rsp").Audit("rsp").Build(), builder.Namespace("other").Enforce("other").Build(),
		builder.ModelDeployment("enforced", "llm").Build(), builder.ModelDeployment("enforced", "slm").Build(),
		builder.ModelDeployment("warned", "llm").Build(), builder.ModelDeployment("both", "llm").Build(),
		builder.ModelDeployment("other", "llm").Build(), builder.ModelDeployment("not-enrolled", "llm").Build())
	digest := func() string {
		p := &v1alpha1.ScalingPolicy{}
		if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(policy), p); err != nil {
			t.Fatal(err)
		}
		return p.Status.Digest
	}
	for _, step := range []struct {
		name   string
		change func() error
		told   bool
	}{
		{"seen for the first time", func() error { return nil }, false},
		{"nothing", func() error { return nil }, false},
		{"a Safeguard that it does not name", func() error { return edit(t, r, ruled("unnamed")) }, false},
		{"a Safeguard that it names", func() error { return edit(t, r, ruled("a")) }, true},
		{"nothing again", func() error { return nil }, false},
		{"the policy", func() error {
			p := &v1alpha1.ScalingPolicy{}
			if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(policy), p); err != nil {
				return err
			}
			p.Spec.Title = "RSP, reworded"
			return r.Client.Update(t.Context(), p)
		}, true},
		{"a Safeguard that is gone", func() error { return r.Client.Delete(t.Context(), ruled("a")) }, true},
	} {
		before := digest()
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		run(t, r)
		if !step.told {
			if n := len(recorder.Events); n != 0 {
				t.Errorf("%s: told %q", step.name, <-recorder.Events)
			}
			continue
		}
		want := fmt.Sprintf("Normal PolicyChanged the policy, or a Safeguard that it names, changed from digest %s to %s; 4 models under it are judged anew", before, digest())
		if len(recorder.Events) != 1 {
			t.Fatalf("%s: %d events", step.name, len(recorder.Events))
		}
		if got := <-recorder.Events; got != want || before == digest() {
			t.Errorf("%s: told\n%q, want\n%q", step.name, got, want)
		}
	}
}

// edit changes what a Safeguard asks.
func edit(t *testing.T, r *Reconciler, sg *v1alpha1.Safeguard) error {
	t.Helper()
	if err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(sg), sg); err != nil {
		return err
	}
	sg.Spec.Remedy, sg.Generation = "do something else", sg.Generation+1
	return r.Client.Update(t.Context(), sg)
}
