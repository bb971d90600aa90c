package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/decision"
)

type approveOptions struct {
	*cluster
	role, comment string
	noticeGivenTo []string
	digest        string
	dryRun        string
	output        string
	yes           bool
}

func newApprove(c *cluster) *cobra.Command {
	o := &approveOptions{cluster: c}
	cmd := &cobra.Command{
		Use:   "approve (KIND NAME | KIND/NAME) --role ROLE",
		Short: "Approve an assessment, a waiver, a decision, a policy or a risk report",
		Long: `Approve something as it is now, in a role that a ScalingPolicy asks for. KIND is capabilityassessment, waiver,
modeldeployment (the decision to serve it), scalingpolicy or riskreport.

It shows what is approved, asks the API server whether you may and whether it would count, asks you, and creates an
Approval in the namespace. The approval dies when what it approves changes. Approvals of assessments, policies and
risk reports count for the models of the namespace, and for all models if it is the operator's own.`,
		Example: `  # Read what a waiver asks, and approve it
  kubectl interlock approve waiver no-input-classifier -n team-a --role rso

  # Approve the decision to serve a model only if it is still the one that was talked of
  kubectl interlock approve modeldeployment/example-70b -n team-a --role ceo --digest sha256:...

  # Write the Approval to a file, for a pipeline to create
  kubectl interlock approve waiver no-input-classifier -n team-a --role rso --dry-run=client -o yaml`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args)
		},
	}
	cmd.Flags().StringVar(&o.role, "role", "", "role in which you approve, as approverRole of the policy's signOffs names it")
	cmd.Flags().StringVar(&o.comment, "comment", "", "what you want on record")
	cmd.Flags().StringArrayVar(&o.noticeGivenTo, "notice-given-to", nil, "body that you have told of it; may be given several times")
	cmd.Flags().StringVar(&o.digest, "digest", "", "approve nothing but what has this digest")
	cmd.Flags().StringVar(&o.dryRun, "dry-run", "none", "none, client (only print the Approval) or server (ask the API server, and create nothing)")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "json or yaml: print the Approval")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask before it is created")
	return cmd
}

func (o *approveOptions) run(ctx context.Context, args []string) error {
	kind, name, err := subjectOf(args)
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	c, namespace, err := o.here()
	if err != nil {
		return err
	}
	return o.approve(ctx, c, kind, client.ObjectKey{Namespace: namespace, Name: name})
}

func (o *approveOptions) check() error {
	if o.role == "" {
		return errors.New("--role is missing: say in which role you approve, as approverRole of the policy's signOffs names it")
	}
	if dryRuns := []string{"none", "client", "server"}; !slices.Contains(dryRuns, o.dryRun) {
		return fmt.Errorf("--dry-run is %q, but can be %s", o.dryRun, strings.Join(dryRuns, ", "))
	}
	return format(o.output).check(asJSON, asYAML)
}

// approve reads the subject, shows it, and creates the approval. What is for people goes beside the output, so that with
// --output that is the Approval and nothing else.
func (o *approveOptions) approve(ctx context.Context, c client.Client, kind v1alpha1.SubjectKind, key client.ObjectKey) error {
	s, err := readSubject(ctx, c, kind, key)
	if err != nil {
		return err
	}
	if o.digest != "" && o.digest != s.digest {
		return fmt.Errorf("%s has digest %s now, and not %s of --digest: read what it says now before you approve it", s, s.digest, o.digest)
	}
	asking, err := o.asking(ctx, c, s)
	if err != nil {
		return err
	}
	a := &v1alpha1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, GenerateName: o.role + "-"},
		Spec: v1alpha1.ApprovalSpec{
			Role: o.role, Comment: o.comment, NoticeGivenTo: o.noticeGivenTo,
			Subject: v1alpha1.Subject{Kind: kind, Name: key.Name, Digest: s.digest}},
	}
	as := ""
	if o.dryRun != "client" {
		tried := a.DeepCopy()
		if err := o.create(ctx, c, tried, s, client.DryRunAll); err != nil {
			return err
		}
		as = ", as " + tried.Spec.Approver.Username
	}
	s.print(o.ErrOut)
	fmt.Fprintln(o.ErrOut, line(fmt.Sprintf("To be approved in role %s%s, in namespace %s; asked for by %s.", o.role, as, key.Namespace, strings.Join(asking, ", "))))
	if o.dryRun == "none" {
		if err := o.confirm(ctx); err != nil {
			return err
		}
		if err := o.create(ctx, c, a, s); err != nil {
			return err
		}
	}
	return o.print(a)
}

// create creates an approval, and takes none that does not count for an approval. One that is only tried leaves nothing.
func (o *approveOptions) create(ctx context.Context, c client.Client, a *v1alpha1.Approval, s *subject, options ...client.CreateOption) error {
	if err := c.Create(ctx, a, options...); err != nil {
		return fmt.Errorf("approve %s: %w", s, err)
	}
	if _, why := decision.Objection(a, s.digest, s.authors); why != "" {
		return fmt.Errorf("an approval of %s would not count: %s", s, why)
	}
	return nil
}

// asking names the policies that ask for the approval. There is no use in one that counts under none.
func (o *approveOptions) asking(ctx context.Context, c client.Reader, s *subject) ([]string, error) {
	policies := &v1alpha1.ScalingPolicyList{}
	if err := c.List(ctx, policies); err != nil {
		return nil, fmt.Errorf("list ScalingPolicies: %w", err)
	}
	var counts, untold []string
	for i := range policies.Items {
		p := &policies.Items[i]
		bodies, asked := decision.NoticeAsked(p, s.kind, o.role)
		if !asked || !s.under(p.Name) {
			continue
		}
		told := func(body string) bool { return slices.Contains(o.noticeGivenTo, body) }
		if at := slices.IndexFunc(bodies, func(body string) bool { return !told(body) }); at >= 0 {
			untold = append(untold, fmt.Sprintf("ScalingPolicy %s asks that %s be told before: tell them, and say so with --notice-given-to=%q", p.Name, bodies[at], bodies[at]))
			continue
		}
		counts = append(counts, "ScalingPolicy "+p.Name)
	}
	switch {
	case len(counts) > 0:
		return counts, nil
	case len(untold) > 0:
		return nil, errors.New(strings.Join(untold, "; "))
	}
	return nil, fmt.Errorf("no ScalingPolicy that bears on it asks for the approval of %s in role %q: see spec.signOffs of the policies for the roles", s, o.role)
}

// confirm asks the person.
func (o *approveOptions) confirm(ctx context.Context) error {
	if o.yes {
		return nil
	}
	fmt.Fprint(o.ErrOut, "Approve it? [y/N] ")
	answered := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(o.In).ReadString('\n') // what cannot be read is no yes
		answered <- strings.ToLower(strings.TrimSpace(answer))
	}()
	select {
	case answer := <-answered:
		if answer == "y" || answer == "yes" {
			return nil
		}
	case <-ctx.Done(): // Ctrl-C
	}
	fmt.Fprintln(o.ErrOut)
	return errors.New("nothing was approved: answer y, or say --yes beforehand")
}

func (o *approveOptions) print(a *v1alpha1.Approval) error {
	if out := format(o.output); out != asText {
		a.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Approval"}
		a.ManagedFields = nil
		return out.encode(o.Out, a)
	}
	done := " created"
	if o.dryRun != "none" {
		done += fmt.Sprintf(" (%s dry run)", o.dryRun)
	}
	fmt.Fprintln(o.Out, line("approval.interlock.dev/"+cmp.Or(a.Name, a.GenerateName+"...")+done))
	return nil
}
