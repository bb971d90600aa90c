package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/konfig"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
	"github.com/interlock-dev/interlock/internal/diff"
)

// frameworks are policies and Safeguards from one place.
type frameworks struct {
	// from names the place.
	from       string
	policies   map[string]*v1alpha1.ScalingPolicy
	safeguards map[string]v1alpha1.SafeguardSpec
}

func noFrameworks(from string) frameworks {
	return frameworks{from: from, policies: map[string]*v1alpha1.ScalingPolicy{}, safeguards: map[string]v1alpha1.SafeguardSpec{}}
}

// framework gives one policy with all Safeguards of its place; without a name, or where there is none, no policy.
func (f frameworks) framework(name string) diff.Framework {
	return diff.Framework{Policy: f.policies[name], Safeguards: f.safeguards}
}

// isPath tells paths from names of policies by their looks alone, so that no file that happens to be there changes what a
// command means.
func isPath(operand string) bool {
	return operand == "-" || operand == "." || operand == ".." || strings.ContainsAny(operand, `/\`) ||
		slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(operand))
}

// readPath reads a file, a folder, what a kustomization makes, or standard input. What is neither a policy nor a Safeguard
// is passed over.
func readPath(path string, stdin io.Reader) (frameworks, error) {
	f := noFrameworks(path)
	b := resource.NewLocalBuilder().Unstructured().Local().Flatten()
	switch {
	case path == "-":
		f.from = "standard input"
		b = b.Stream(stdin, f.from)
	case isKustomization(path):
		b = b.FilenameParam(false, &resource.FilenameOptions{Kustomize: path})
	default:
		b = b.FilenameParam(false, &resource.FilenameOptions{Filenames: []string{path}})
	}
	infos, err := b.Do().Infos()
	if err != nil {
		return f, err
	}
	for _, info := range infos {
		if err := f.add(info.Object.(*unstructured.Unstructured)); err != nil {
			return f, fmt.Errorf("%s: %w", info.Source, err)
		}
	}
	if len(f.policies) == 0 {
		return f, fmt.Errorf("%s holds no ScalingPolicy of %s", f.from, v1alpha1.GroupVersion)
	}
	return f, nil
}

func isKustomization(path string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool {
		_, err := os.Stat(filepath.Join(path, name))
		return err == nil
	})
}

func (f frameworks) add(o *unstructured.Unstructured) error {
	twice := func(there bool) error {
		if there {
			return fmt.Errorf("%s %s is defined twice", o.GetKind(), o.GetName())
		}
		return nil
	}
	switch o.GroupVersionKind() {
	case v1alpha1.GroupVersion.WithKind("ScalingPolicy"):
		_, there := f.policies[o.GetName()]
		p := &v1alpha1.ScalingPolicy{}
		f.policies[o.GetName()] = p
		return firstOf(twice(there), decode(o, p))
	case v1alpha1.GroupVersion.WithKind("Safeguard"):
		_, there := f.safeguards[o.GetName()]
		sg := &v1alpha1.Safeguard{}
		err := firstOf(twice(there), decode(o, sg))
		f.safeguards[o.GetName()] = sg.Spec
		return err
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// decode reads an object, and takes offence at a field that does not exist: misspelt, it would be missed in silence.
func decode(o *unstructured.Unstructured, into any) error {
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true); err != nil {
		return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

// readCluster reads all policies and Safeguards of a cluster.
func readCluster(ctx context.Context, c client.Reader) (frameworks, error) {
	f := noFrameworks("cluster")
	policies, safeguards := &v1alpha1.ScalingPolicyList{}, &v1alpha1.SafeguardList{}
	if err := c.List(ctx, policies); err != nil {
		return f, fmt.Errorf("list ScalingPolicies: %w", err)
	}
	if err := c.List(ctx, safeguards); err != nil {
		return f, fmt.Errorf("list Safeguards: %w", err)
	}
	for i := range policies.Items {
		f.policies[policies.Items[i].Name] = &policies.Items[i]
	}
	for i := range safeguards.Items {
		f.safeguards[safeguards.Items[i].Name] = safeguards.Items[i].Spec
	}
	return f, nil
}

// only gives one policy of a cluster, with its Safeguards.
func (f frameworks) only(name string) (frameworks, error) {
	p := f.policies[name]
	if p == nil {
		return f, fmt.Errorf("ScalingPolicy %q is not on the cluster, which has %s; a path needs a \"/\" or the ending .yaml, .yml or .json",
			name, cmp.Or(strings.Join(slices.Sorted(maps.Keys(f.policies)), ", "), "none"))
	}
	f.policies = map[string]*v1alpha1.ScalingPolicy{name: p}
	return f, nil
}

// among gives the policies that have the name of one of another place.
func (f frameworks) among(others frameworks) frameworks {
	there := map[string]*v1alpha1.ScalingPolicy{}
	for name := range others.policies {
		if p := f.policies[name]; p != nil {
			there[name] = p
		}
	}
	f.policies = there
	return f
}

// over gives what is on a cluster once these have been applied to it.
func (f frameworks) over(cluster frameworks) frameworks {
	merged := maps.Clone(cluster.safeguards)
	maps.Copy(merged, f.safeguards)
	f.safeguards = merged
	return f
}

// complete says whether every Safeguard that a policy asks for is there. Without one it cannot be told what has become of
// its verification.
func (f frameworks) complete() error {
	for _, name := range slices.Sorted(maps.Keys(f.policies)) {
		for _, sg := range decision.Named(f.policies[name]) {
			if _, ok := f.safeguards[sg]; !ok {
				return fmt.Errorf("%s: ScalingPolicy %s asks for Safeguard %s, which is not there; name a folder or kustomization that holds both", f.from, name, sg)
			}
		}
	}
	return nil
}
