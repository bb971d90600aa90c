package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/check"
	"github.com/interlock-dev/interlock/internal/manifests"
	"github.com/interlock-dev/interlock/internal/workload"
)

// The exit codes of check, besides zero: something would be held, or the input cannot be used.
const (
	exitHeld     = exitCode(1)
	exitBadInput = exitCode(2)
)

type checkOptions struct {
	*cluster
	filenames                            []string
	kustomize, policy, kinds, output     string
	live                                 bool
	operatorNamespace, evidenceNamespace string
}

func newCheck(c *cluster) *cobra.Command {
	o := &checkOptions{cluster: c}
	cmd := &cobra.Command{
		Use:   "check -f FILENAME [-f FILENAME]...",
		Short: "Say what Interlock would do with manifests, before they are applied",
		Long: `Say of manifests which models would be cleared and which pods would start, be held or be refused, and what to change.

The manifests are judged by the code of the operator and of the API server, with no cluster. The policy and its Safeguards have to be
among them, such as a folder of config/policies. With --cluster the manifests are laid over a live cluster, which is only read.

Manifests cannot show everything. What only a cluster can tell, such as an approval, is named and never counts as given.

It ends with 0 if every model would be cleared and every pod would start, with 1 if not, and with 2 if the input cannot be used.`,
		Example: `  kubectl interlock check -f deploy/ -f config/policies/anthropic-rsp-v2.2

  # What a chart makes, under a policy that the namespace does not name yet
  helm template my-release ./chart | kubectl interlock check -f - -f policies/ --policy anthropic-rsp-v2.2 -n team-a

  # Over a live cluster
  kubectl interlock check -f deploy/ --cluster -n team-a

  # Annotations in a pull request on GitHub
  kubectl interlock check -f deploy/ -f policies/ -o github`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.filenames, "filename", "f", nil, "file, folder with all below it, or - for standard input; may be given several times")
	f.StringVarP(&o.kustomize, "kustomize", "k", "", "folder with a kustomization")
	f.StringVar(&o.policy, "policy", "", "ScalingPolicy to judge by in all namespaces, whatever their labels say")
	f.BoolVar(&o.live, "cluster", false, "lay the manifests over the cluster that the kubeconfig names")
	f.StringVar(&o.kinds, "workload-kinds", "", "file with further kinds of workload, as the operator has it")
	f.StringVar(&o.operatorNamespace, "operator-namespace", "interlock-system", "namespace of the operator")
	f.StringVar(&o.evidenceNamespace, "evidence-namespace", "interlock-evidence", "namespace whose Attestations serve all models")
	f.StringVarP(&o.output, "output", "o", "", "json, yaml, sarif, junit or github")
	return cmd
}

// run prints what would become of the manifests.
func (o *checkOptions) run(ctx context.Context) error {
	result, problems, err := o.check(ctx)
	for _, p := range problems {
		fmt.Fprintln(o.ErrOut, "error:", line(p.Error()))
	}
	switch {
	case err != nil:
		fmt.Fprintln(o.ErrOut, "error:", line(err.Error()))
		return exitBadInput
	case len(result.Models)+len(result.Workloads) == 0 && len(problems) == 0:
		fmt.Fprintf(o.ErrOut, "error: there is nothing to check: none of the manifests is a ModelDeployment or a workload; %d are of other kinds\n", result.Foreign)
		return exitBadInput
	}
	if err := o.print(result); err != nil {
		return err
	}
	switch {
	case len(problems) > 0:
		return exitBadInput
	case !result.Passes():
		return exitHeld
	}
	return nil
}

func (o *checkOptions) check(ctx context.Context) (*check.Result, []manifests.Problem, error) {
	if err := format(o.output).check(asJSON, asYAML, asSARIF, asJUnit, asGitHub); err != nil {
		return nil, nil, err
	}
	if len(o.filenames) == 0 && o.kustomize == "" {
		return nil, nil, errors.New("name what to check: -f FILENAME or -k FOLDER")
	}
	kinds, err := workload.LoadKinds(o.kinds)
	if err != nil {
		return nil, nil, err
	}
	live, cluster, err := o.laidOver(ctx)
	if err != nil {
		return nil, nil, err
	}
	namespace, _, err := o.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, nil, fmt.Errorf("find the namespace: %w", err)
	}
	objects, problems := manifests.Read(o.filenames, o.In)
	if o.kustomize != "" {
		more, wrong := manifests.Kustomize(o.kustomize)
		objects, problems = append(objects, more...), append(problems, wrong...)
	}
	for i := range objects {
		manifests.SetNamespace(&objects[i], namespace)
	}
	world := manifests.NewWorld(live)
	problems = append(problems, world.Apply(objects, o.Now())...)
	compiler, err := check.NewCompiler()
	if err != nil {
		return nil, problems, err
	}
	result, err := check.Run(ctx, check.Input{World: world, Objects: objects, Kinds: kinds, Compiler: compiler, Policy: o.policy, Now: o.Now(), Cluster: cluster,
		Install: admission.Install{Namespace: o.operatorNamespace}, EvidenceNamespace: o.evidenceNamespace})
	return result, problems, err
}

// laidOver gives the cluster that the manifests are laid over, and by what statements name it; nil, there is none.
func (o *checkOptions) laidOver(ctx context.Context) (client.Reader, string, error) {
	if !o.live {
		return nil, "", nil
	}
	c, err := o.connectWith(manifests.Scheme)
	if err != nil {
		return nil, "", err
	}
	system := &metav1.PartialObjectMetadata{}
	system.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err = c.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system)
	if apierrors.IsForbidden(err) {
		fmt.Fprintln(o.ErrOut, "warning:", line(fmt.Sprintf("statements about this cluster cannot be matched: %v", err)))
		err = nil
	}
	return c, string(system.UID), err
}

func (o *checkOptions) print(r *check.Result) error {
	switch out := format(o.output); out {
	case asText:
		printCheck(o.Out, r)
		return nil
	case asSARIF:
		return asJSON.encode(o.Out, sarifOf(r))
	case asJUnit:
		return printJUnit(o.Out, r)
	case asGitHub:
		printGitHub(o.Out, r)
		return nil
	default:
		return out.encode(o.Out, r)
	}
}

// printCheck tells people, with what would not pass first.
func printCheck(w io.Writer, r *check.Result) {
	cleared, starting := 0, 0
	for i := range r.Models {
		if r.Models[i].Passes() {
			cleared++
		}
	}
	for i := range r.Workloads {
		if r.Workloads[i].Passes() {
			starting++
		}
	}
	fmt.Fprintf(w, "%d of %d models would be cleared, and the pods of %d of %d workloads would start.\n", cleared, len(r.Models), starting, len(r.Workloads))
	for _, passing := range []bool{false, true} {
		for i := range r.Models {
			if m := &r.Models[i]; m.Passes() == passing {
				printModel(w, m)
			}
		}
		for i := range r.Workloads {
			if wl := &r.Workloads[i]; wl.Passes() == passing {
				printWorkload(w, wl)
			}
		}
	}
	if len(r.NotShown)+r.Foreign > 0 {
		fmt.Fprintln(w, "\nNot shown:")
	}
	for _, text := range r.NotShown {
		fmt.Fprintf(w, "  - %s\n", line(text))
	}
	if r.Foreign > 0 {
		fmt.Fprintf(w, "  - objects of kinds that Interlock does not look at: %d\n", r.Foreign)
	}
}

func printModel(w io.Writer, m *check.Model) {
	var f facts
	f.add("at", m.At.String())
	why := m.Message
	if m.Reason == v1alpha1.ReasonSafeguardsMissing { // each is told below
		why, _, _ = strings.Cut(why, ": ")
	}
	f.add("why", fmt.Sprintf("%s: %s", m.Reason, why))
	if m.DeploymentLevel != "" {
		f.add("required", fmt.Sprintf("deployment %s, security %s, by policy %s", m.DeploymentLevel, m.SecurityLevel, m.Policy))
	}
	f.add("safeguards", m.SafeguardsMet)
	if m.ValidUntil != nil {
		f.add("until", m.ValidUntil.UTC().Format(time.RFC3339))
	}
	for _, p := range m.Previews {
		f.add("preview", fmt.Sprintf("%s under %s (%s): %s", p.Verdict, p.Policy, p.Label, p.Message))
	}
	fmt.Fprintf(w, "\n%s\n", line(fmt.Sprintf("ModelDeployment %s/%s: %s", m.Namespace, m.Name, m.Verdict)))
	f.print(w)
	printFindings(w, m.Findings)
}

func printWorkload(w io.Writer, wl *check.Workload) {
	var f facts
	f.add("at", wl.At.String())
	f.add("why", wl.Why)
	f.add("model", wl.Model)
	name := fmt.Sprintf("%s %s/%s", wl.Kind, wl.Namespace, wl.Name)
	if wl.Template != "" && wl.Template != "spec.template" {
		name += ", " + wl.Template
	}
	fmt.Fprintf(w, "\n%s\n", line(fmt.Sprintf("%s: %s", name, wl.Fate)))
	f.print(w)
	printFindings(w, wl.Findings)
}

// printFindings tells what is wrong, with what holds pods first.
func printFindings(w io.Writer, findings []check.Finding) {
	findings = slices.Clone(findings)
	slices.SortStableFunc(findings, func(a, b check.Finding) int {
		return strings.Compare(fmt.Sprint(!a.Holds), fmt.Sprint(!b.Holds))
	})
	for i := range findings {
		f := &findings[i]
		fmt.Fprintf(w, "  - %s\n", line(findingText(f)))
		if f.Remedy != "" {
			fmt.Fprintf(w, "    do: %s\n", line(f.Remedy))
		}
	}
}

func findingText(f *check.Finding) string {
	text := f.Message
	if f.Safeguard != "" {
		text = f.Safeguard + ": " + text
	}
	if !f.Holds {
		text += " (reported only)"
	}
	return text
}
