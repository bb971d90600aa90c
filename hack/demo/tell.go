package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/interlock-dev/interlock/internal/testing/stack"
)

const (
	models    = "get modeldeployments -n team-a"
	pods      = "get pods -n team-a"
	held      = "SchedulingGated"
	dedicated = "interlock.dev.node-restriction.kubernetes.io/dedicated"
)

// tell is the story. Nothing in it happens after a surprise.
func tell(ctx context.Context, s *story) {
	operator := setUp(ctx, s)
	holdAndWarn(ctx, s)
	addSafeguards(ctx, s)
	loseSafeguard(ctx, s)
	killOperator(ctx, s, operator)
	restore(ctx, s)
}

func setUp(ctx context.Context, s *story) *stack.Manager {
	s.say("The safety team installs a framework as data: Anthropic's RSP, version 2.2.")
	operator := s.startOperator(ctx)
	s.run(ctx, "apply --server-side -k config/policies/anthropic-rsp-v2.2")
	s.until(ctx, "the policy is in use", "get scalingpolicies,safeguards", func(out string) bool {
		return strings.Contains(out, "True") && !strings.Contains(out, "False")
	})
	s.say("Whoever runs the cluster puts the namespace team-a under that policy, sets two GPU nodes apart, and lets the team edit.")
	s.run(ctx, "apply -f config/samples/namespace.yaml")
	s.run(ctx, "label nodes node-0 node-1 "+dedicated+"=models")
	s.run(ctx, "taint nodes node-0 node-1 "+dedicated+"=models:NoSchedule")
	s.run(ctx, "create rolebinding team --clusterrole=edit --user=serving-team -n team-a")
	s.run(ctx, "create clusterrole namespace-editor --verb=get,update,patch --resource=namespaces")
	s.run(ctx, "create clusterrolebinding namespace-editor --clusterrole=namespace-editor --user=serving-team")
	s.until(ctx, "the namespace has its clearances", "get limitranges,clearanceledgers -n team-a", contains("interlock-clearances", "clearanceledger.interlock.dev/interlock"))
	return operator
}

func holdAndWarn(ctx context.Context, s *story) {
	s.say("The team declares its model, at ASL-3. Nobody has assessed it, so every threshold counts as reached, and it is held at a level whose safeguards the text leaves open.")
	s.run(ctx, "apply -f config/samples/modeldeployment.yaml")
	s.until(ctx, "the model is held", "get modeldeployments -n team-a -o custom-columns=NAME:.metadata.name,VERDICT:.status.verdict,LEVEL:.status.securityLevel,DISPUTED:.status.disputed", contains("Held", "ASL-4"))
	s.say("Evaluators file what they found: CBRN-3 is reached, which asks for ASL-3, and what would ask for more is ruled out.")
	s.feed(ctx, s.assessment(), "apply -f -")
	s.until(ctx, "ASL-3 is required and no more", "get modeldeployments -n team-a -o jsonpath={.items[0].status.securityLevel}", contains("ASL-3"))
	s.say("The team deploys vLLM as one would write it first, and is warned of what is missing.")
	s.until(ctx, "the model is held", models, contains("Held"))
	s.run(ctx, "apply -f config/samples/deployment-bare.yaml", "Warning", "egress-allow-list", "image-pinned", "input-classifier")
	s.say("The pods are there, and wait at a scheduling gate: no node has seen them.")
	s.until(ctx, "three pods are held", pods, count(held, 3, "Running"))
	s.until(ctx, "three of twelve safeguards are met", models, contains("Held", "3/12"))
	s.say("describe says what is missing, what asks for it, and what to do.")
	s.run(ctx, "describe modeldeployment example-70b -n team-a", "Remedy", "Required By", "no NetworkPolicy with policyType Egress")
}

// assessment is the sample, made today: it rules out for six months.
func (s *story) assessment() string {
	sample, err := os.ReadFile("config/samples/assessment.yaml")
	if s.err == nil {
		s.err = err
	}
	made := regexp.MustCompile(`assessedAt: .*`)
	return made.ReplaceAllString(string(sample), "assessedAt: "+time.Now().UTC().Format(time.RFC3339))
}

func addSafeguards(ctx context.Context, s *story) {
	s.say("One by one the safeguards come. First the network: DNS and nothing else.")
	s.run(ctx, "apply -f config/samples/networkpolicy.yaml")
	s.until(ctx, "four of twelve safeguards are met", models, contains("Held", "4/12"))

	for i, step := range []struct{ says, file string }{
		{"Images are pinned by digest.", "2-pin-images.yaml"},
		{"The pods are hardened.", "3-harden.yaml"},
		{"They demand the nodes that were set apart.", "4-dedicated-nodes.yaml"},
		{"They carry no token of the API server.", "5-no-token.yaml"},
	} {
		s.say("%s", step.says)
		s.run(ctx, "patch deployment example-70b -n team-a --patch-file hack/demo/steps/"+step.file)
		met := fmt.Sprintf("%d/12", 5+i)
		s.until(ctx, met+" safeguards are met", models, contains("Held", met))
	}
	s.say("At last the weights as they are declared, and the classifiers before and behind the model, with the model on loopback. A dry run says that nothing is missing.")
	s.run(ctx, "apply -f config/samples/deployment-guarded.yaml --dry-run=server")
	s.run(ctx, "apply -f config/samples/deployment-guarded.yaml")
	s.say("Every safeguard of ASL-3 is in place: the model is cleared for an hour at the most, and its pods run.")
	s.until(ctx, "the model is cleared", models, contains("Cleared", "11/12"))
	s.until(ctx, "three pods run", pods, count("Running", 3, held))
}

func loseSafeguard(ctx context.Context, s *story) {
	s.say("Somebody deletes the NetworkPolicy. The clearance is revoked at once: from now on new pods are held.")
	s.run(ctx, "delete networkpolicy example-70b-egress -n team-a")
	s.until(ctx, "the clearance is revoked", models, contains("Revoked", "10/12"))
	s.say("The policy gives running pods 30 seconds for the mistake to be undone; then they are evicted, and their replacements wait at the gate.")
	s.until(ctx, "all pods are held", pods, count(held, 3, "Running"))
	s.until(ctx, "the model is held", models, contains("Held"))
	s.run(ctx, "events -n team-a --for modeldeployment/example-70b", "Revoked", "Evict")
	s.say("The NetworkPolicy is back, and so is the model. The safety team shortens the lease, so that we need not wait an hour for what comes next.")
	s.run(ctx, `patch scalingpolicy anthropic-rsp-v2.2 --type=merge -p {"spec":{"lease":"20s"}}`)
	s.run(ctx, "apply -f config/samples/networkpolicy.yaml")
	s.until(ctx, "three pods run", pods, count("Running", 3, held))
}

func killOperator(ctx context.Context, s *story, operator *stack.Manager) {
	s.say("Now the operator is killed (SIGKILL). A pod comes that names a second model, which nobody has cleared: it is held all the same.")
	if s.err == nil {
		s.err = operator.Kill()
	}
	s.run(ctx, "run rogue -n team-a --image=rogue --labels=interlock.dev/model=rogue")
	s.until(ctx, "the pod is held", pods, contains(held))

	s.say("The team strips the gate: refused.")
	s.refused(ctx, s.team, "", `patch pod rogue -n team-a --type=json -p [{"op":"remove","path":"/spec/schedulingGates"}]`, "only Interlock takes the scheduling gate")
	s.say("It makes the pod out to be of the model that is cleared: refused.")
	s.refused(ctx, s.team, "", "label pod rogue -n team-a --overwrite interlock.dev/model=example-70b", "cannot change once the pod exists")
	s.say("A cluster admin forges a binding to a node: refused.")
	s.refused(ctx, s.stack.Kubeconfig(), `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"rogue"},"target":{"kind":"Node","name":"node-2"}}`,
		"create --raw /api/v1/namespaces/team-a/pods/rogue/binding -f -", "schedulingGates")
	s.say("The team, which may edit namespaces, takes team-a out of the policy: refused.")
	s.refused(ctx, s.team, "", "label namespace team-a interlock.dev/enforce-", "needs the RBAC verb enroll")
	s.say("The team clears the rogue model in what the API server reads: no right of theirs allows it. A cluster admin tries as well: refused.")
	const forge = `patch limitrange interlock-clearances -n team-a --type=merge -p {"metadata":{"annotations":{"interlock.dev/clearances":"\nrogue\u00200\n"}}}`
	s.refused(ctx, s.team, "", forge, "cannot patch resource")
	s.refused(ctx, s.stack.Kubeconfig(), "", forge, "only Interlock writes its verdicts")
	s.outlast(ctx)
}

// outlast waits until the lease has run out, with nobody there to renew it.
func (s *story) outlast(ctx context.Context) {
	_, lease, _ := strings.Cut(s.query(ctx, `get limitrange interlock-clearances -n team-a -o jsonpath={.metadata.annotations.interlock\.dev/leases}`), " ")
	end, _, _ := strings.Cut(lease, " ")
	until, err := time.Parse(time.RFC3339, end)
	if s.err == nil {
		s.err = err
	}
	s.say("The clearance of the first model is not renewed by anybody: at %s it runs out. A pod that is deleted after that is not replaced.", until.Format(time.TimeOnly))
	s.run(ctx, "get limitrange interlock-clearances -n team-a -o yaml", "example-70b 0")
	if s.err == nil {
		select {
		case <-time.After(time.Until(until)):
		case <-ctx.Done():
			s.err = ctx.Err()
		}
	}
	pod := strings.Fields(s.query(ctx, "get pods -n team-a -l app=example-70b -o name") + " none")[0]
	s.run(ctx, "delete -n team-a "+pod)
	s.until(ctx, "the replacement is refused", "events -n team-a --types=Warning", contains("FailedCreate", "ran out at"))
	s.say("The others go on: an operator that is down takes nothing out of service, and lets nothing new in.")
	s.until(ctx, "two pods run", pods, count("Running", 2, "example-70b-none"))
}

func restore(ctx context.Context, s *story) {
	s.say("The operator comes back, decides anew, renews the lease, and the missing pod comes.")
	s.startOperator(ctx)
	s.until(ctx, "the model is cleared", models, contains("Cleared", "11/12"))
	s.until(ctx, "three pods of the model run", pods+" -l app=example-70b", count("Running", 3, held))
	s.run(ctx, models)
}

func (s *story) startOperator(ctx context.Context) *stack.Manager {
	if s.err != nil {
		return nil
	}
	operator, err := s.stack.StartManager(ctx)
	s.err = err
	return operator
}
