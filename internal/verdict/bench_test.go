package verdict

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// BenchmarkJudge judges a model with two pods under a pack that is shipped.
func BenchmarkJudge(b *testing.B) {
	policy := &v1alpha1.ScalingPolicy{}
	read(b, "../../config/policies/anthropic-rsp-v2.2/policy.yaml", policy)
	objects := []client.Object{policy, builder.Namespace("serving").Enforce(policy.Name).Build(), builder.NetworkPolicy("serving", "here").Build(),
		builder.Pod("serving", "a").Model("llm").Build(), builder.Pod("serving", "b").Model("llm").Gate(v1alpha1.ClearanceGate).Build()}
	files, err := filepath.Glob("../../config/policies/anthropic-rsp-v2.2/safeguards/*.yaml")
	if err != nil || len(files) == 0 {
		b.Fatalf("no safeguards: %v", err)
	}
	for _, file := range files {
		sg := &v1alpha1.Safeguard{}
		read(b, file, sg)
		sg.UID = types.UID(sg.Name) // so that it is compiled once
		objects = append(objects, sg)
	}
	compiler, err := safeguard.NewCompiler()
	if err != nil {
		b.Fatal(err)
	}
	s, err := gatherer(b, "", objects...).Gather(b.Context(), noon, builder.ModelDeployment("serving", "llm").Build())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Judge(compiler, s)
	}
}

func read(b *testing.B, file string, into any) {
	b.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		b.Fatal(err)
	}
}
