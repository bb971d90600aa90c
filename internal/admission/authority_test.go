package admission_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

const forgedName = "the-ceo"

func newApproval() *v1alpha1.Approval {
	return &v1alpha1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "rso-1"},
		Spec: v1alpha1.ApprovalSpec{Role: "rso", Subject: v1alpha1.Subject{
			Kind: v1alpha1.SubjectAssessment, Name: "opus-may", Digest: builder.Digest}}}
}

func newWaiver() *v1alpha1.Waiver {
	return &v1alpha1.Waiver{
		ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "w"},
		Spec:       v1alpha1.WaiverSpec{Model: "opus", Safeguards: []string{"image-pinned"}, Reason: "r", Ticket: "T-1", InterimMeasure: "m"}}
}

func person(name string) *v1alpha1.Requester {
	return &v1alpha1.Requester{Username: name, UID: "uid-of-" + name, Credential: "X509SHA256=" + name}
}

func authoredBy(created, edited string) map[string]string {
	return map[string]string{v1alpha1.CreatedByAnnotation: created, v1alpha1.EditedByAnnotation: edited}
}

// TestStamp is about who is noted as approver, requester or author, whatever the manifest says.
func TestStamp(t *testing.T) {
	forged := newApproval()
	forged.Spec.Approver = person(forgedName)
	asked := newWaiver()
	asked.Spec.Requester = person(forgedName)
	model := builder.ModelDeployment("serving", "opus").Build()
	posing := model.DeepCopy()
	posing.Annotations = authoredBy(forgedName, forgedName)
	old := model.DeepCopy()
	old.Annotations = authoredBy("ben", "cat")
	edited := old.DeepCopy()
	edited.Spec.AssessedLevel = builder.ASL3
	reforged := old.DeepCopy()
	reforged.Annotations = authoredBy(forgedName, forgedName)

	for name, tc := range map[string]struct {
		resource     string
		object, old  runtime.Object
		impersonated bool
		approver     *v1alpha1.Requester
		annotations  map[string]string
	}{
		"an approval":                        {resource: "approvals", object: newApproval(), approver: person("ann")},
		"an approval that names another":     {resource: "approvals", object: forged, approver: person("ann")},
		"a waiver that names another":        {resource: "waivers", object: asked, approver: person("ann")},
		"a model made":                       {resource: "modeldeployments", object: model, annotations: authoredBy("ann", "ann")},
		"a model made that names another":    {resource: "modeldeployments", object: posing, annotations: authoredBy("ann", "ann")},
		"a model made under another's name":  {resource: "modeldeployments", object: posing, impersonated: true, annotations: authoredBy("", "")},
		"a model changed":                    {resource: "modeldeployments", object: edited, old: old, annotations: authoredBy("ben", "ann")},
		"a model changed by impersonation":   {resource: "modeldeployments", object: edited, old: old, impersonated: true, annotations: authoredBy("ben", "")},
		"only annotations are changed":       {resource: "modeldeployments", object: reforged, old: old, annotations: authoredBy("ben", "cat")},
		"annotations are dropped":            {resource: "modeldeployments", object: model, old: old, annotations: authoredBy("ben", "cat")},
		"a model from before there were any": {resource: "modeldeployments", object: reforged, old: model, annotations: authoredBy("", "")},
	} {
		t.Run(name, func(t *testing.T) {
			operation := apiadmission.Create
			if tc.old != nil {
				operation = apiadmission.Update
			}
			server := newAPIServer(t, admission.Policies(install, nil), nil)
			server.allowed = []string{"ann approve approvals/rso"}
			a := server.serve(t, request{user: "ann", operation: operation, object: tc.object, old: tc.old, impersonated: tc.impersonated,
				resource: v1alpha1.GroupVersion.WithResource(tc.resource)})
			if len(a.denials) > 0 {
				t.Fatalf("denied: %q", a.denials)
			}
			var got *v1alpha1.Requester
			switch o := a.object.(type) {
			case *v1alpha1.Approval:
				got = o.Spec.Approver
			case *v1alpha1.Waiver:
				got = o.Spec.Requester
			}
			if diff := cmp.Diff(tc.approver, got); diff != "" {
				t.Errorf("noted (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.annotations, a.object.(metav1.Object).GetAnnotations()); tc.annotations != nil && diff != "" {
				t.Errorf("annotations (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAuthority is about who may approve, waive and write what binds; without the mutation, nothing that is not stamped
// gets in.
func TestAuthority(t *testing.T) {
	stamped, forged, frozen := newApproval(), newApproval(), newApproval()
	stamped.Spec.Approver, forged.Spec.Approver, frozen.Spec.Approver = person("ann"), person(forgedName), person("ann")
	frozen.Spec.Subject.Name = "another"
	longer := newWaiver()
	longer.Spec.Safeguards = append(longer.Spec.Safeguards, "egress")
	policy := builder.ScalingPolicy("rsp").Build()
	posing := policy.DeepCopy()
	posing.Annotations = authoredBy(forgedName, forgedName)
	changed := posing.DeepCopy()
	changed.Spec.Title = "another"
	const (
		bot       = "system:serviceaccount:serving:bot"
		node      = "system:node:node-1"
		collector = "system:serviceaccount:kube-system:generic-garbage-collector"
		noPerson  = "is no person: only people approve"
		withdraw  = "needs the RBAC verb withdraw"
	)
	machines := admission.Framework{Name: "rsp", ApproverRoles: []string{"rso"}, MayRequest: true}
	attestation := &v1alpha1.Attestation{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "failed"}, Spec: v1alpha1.AttestationSpec{Content: "{}"}}
	assessed := func(outcomes ...v1alpha1.AssessmentOutcome) *v1alpha1.CapabilityAssessment {
		a := &v1alpha1.CapabilityAssessment{ObjectMeta: metav1.ObjectMeta{Name: "cbrn"}}
		for _, o := range outcomes {
			a.Spec.Outcomes = append(a.Spec.Outcomes, v1alpha1.ThresholdOutcome{Outcome: o})
		}
		return a
	}
	severe, harmless := assessed(v1alpha1.AssessmentRuledOut, v1alpha1.AssessmentReached), assessed(v1alpha1.AssessmentRuledOut)
	report := &v1alpha1.RiskReport{ObjectMeta: metav1.ObjectMeta{Name: "newest"}}
	for name, tc := range map[string]struct {
		user         string // default: ann
		operation    apiadmission.Operation
		resource     string
		object, old  runtime.Object
		impersonated bool
		unstamped    bool // the mutation is gone
		frameworks   []admission.Framework
		ending       bool // the namespace is
		denied       string
	}{
		"in the role":                        {operation: apiadmission.Create, resource: "approvals", object: newApproval()},
		"not in the role":                    {user: "bob", operation: apiadmission.Create, resource: "approvals", object: newApproval(), denied: `user "bob" needs the RBAC verb approve on approvals "rso"`},
		"impersonated":                       {operation: apiadmission.Create, resource: "approvals", object: newApproval(), impersonated: true, denied: "by impersonating somebody"},
		"an impersonated waiver":             {operation: apiadmission.Create, resource: "waivers", object: newWaiver(), impersonated: true, denied: "by impersonating somebody"},
		"anybody asks for a waiver":          {user: "bob", operation: apiadmission.Create, resource: "waivers", object: newWaiver()},
		"unstamped, and says so":             {operation: apiadmission.Create, resource: "approvals", object: stamped, unstamped: true},
		"unstamped":                          {operation: apiadmission.Create, resource: "approvals", object: newApproval(), unstamped: true, denied: "noted by the API server"},
		"unstamped, and names another":       {operation: apiadmission.Create, resource: "approvals", object: forged, unstamped: true, denied: "noted by the API server"},
		"an unstamped waiver":                {operation: apiadmission.Create, resource: "waivers", object: newWaiver(), unstamped: true, denied: "noted by the API server"},
		"an unstamped policy":                {operation: apiadmission.Create, resource: "scalingpolicies", object: policy, unstamped: true},
		"an unstamped policy names another":  {operation: apiadmission.Create, resource: "scalingpolicies", object: posing, unstamped: true, denied: "noted by the API server"},
		"an unstamped change":                {operation: apiadmission.Update, resource: "scalingpolicies", object: changed, old: posing, unstamped: true, denied: "noted by the API server"},
		"an approval edited":                 {operation: apiadmission.Update, resource: "approvals", object: frozen, old: stamped, denied: "never edited"},
		"an approval labelled":               {user: "bob", operation: apiadmission.Update, resource: "approvals", object: stamped, old: stamped},
		"a waiver edited":                    {operation: apiadmission.Update, resource: "waivers", object: longer, old: newWaiver(), denied: "never edited"},
		"an approval withdrawn":              {user: "bob", operation: apiadmission.Delete, resource: "approvals", old: stamped},
		"Interlock approves":                 {user: install.Username, operation: apiadmission.Create, resource: "approvals", object: newApproval(), denied: "Interlock itself"},
		"Interlock waives":                   {user: install.Username, operation: apiadmission.Create, resource: "waivers", object: newWaiver(), denied: "Interlock itself"},
		"Interlock withdraws an approval":    {user: install.Username, operation: apiadmission.Delete, resource: "approvals", old: stamped, denied: "Interlock itself"},
		"Interlock edits a policy":           {user: install.Username, operation: apiadmission.Update, resource: "scalingpolicies", object: policy, old: policy, denied: "Interlock itself"},
		"Interlock deletes a policy":         {user: install.Username, operation: apiadmission.Delete, resource: "scalingpolicies", old: policy, denied: "Interlock itself"},
		"Interlock writes a Safeguard":       {user: install.Username, operation: apiadmission.Create, resource: "safeguards", object: builder.Safeguard("a").Build(), denied: "Interlock itself"},
		"Interlock files an assessment":      {user: install.Username, operation: apiadmission.Create, resource: "capabilityassessments", object: &v1alpha1.CapabilityAssessment{}, denied: "Interlock itself"},
		"a namespace ends with its approval": {user: "system:serviceaccount:kube-system:namespace-controller", operation: apiadmission.Delete, resource: "approvals", old: stamped},

		"a ServiceAccount approves":                   {user: bot, operation: apiadmission.Create, resource: "approvals", object: newApproval(), denied: noPerson},
		"a ServiceAccount approves as it may":         {user: bot, operation: apiadmission.Create, resource: "approvals", object: newApproval(), frameworks: []admission.Framework{machines}},
		"a ServiceAccount approves in another role":   {user: bot, operation: apiadmission.Create, resource: "approvals", object: newApproval(), frameworks: []admission.Framework{{Name: "rsp", ApproverRoles: []string{"ceo"}, MayRequest: true}}, denied: noPerson},
		"a node approves":                             {user: node, operation: apiadmission.Create, resource: "approvals", object: newApproval(), frameworks: []admission.Framework{machines}, denied: noPerson},
		"a ServiceAccount requests":                   {user: bot, operation: apiadmission.Create, resource: "waivers", object: newWaiver(), denied: noPerson},
		"a ServiceAccount requests as it may":         {user: bot, operation: apiadmission.Create, resource: "waivers", object: newWaiver(), frameworks: []admission.Framework{machines}},
		"a ServiceAccount that may approve requests":  {user: bot, operation: apiadmission.Create, resource: "waivers", object: newWaiver(), frameworks: []admission.Framework{{Name: "rsp", ApproverRoles: []string{"rso"}}}, denied: noPerson},
		"a node requests":                             {user: node, operation: apiadmission.Create, resource: "waivers", object: newWaiver(), frameworks: []admission.Framework{machines}, denied: noPerson},
		"a ServiceAccount brings evidence":            {user: bot, operation: apiadmission.Create, resource: "attestations", object: attestation},
		"owned evidence":                              {operation: apiadmission.Create, resource: "attestations", object: owned(attestation, "a"), denied: "no owner reference"},
		"an owned assessment":                         {operation: apiadmission.Create, resource: "capabilityassessments", object: owned(severe, "a"), denied: "no owner reference"},
		"an owned report":                             {operation: apiadmission.Create, resource: "riskreports", object: owned(report, "a"), denied: "no owner reference"},
		"an owned approval":                           {operation: apiadmission.Create, resource: "approvals", object: owned(newApproval(), "a"), denied: "no owner reference"},
		"an owned waiver":                             {operation: apiadmission.Create, resource: "waivers", object: owned(newWaiver(), "a"), denied: "no owner reference"},
		"evidence given an owner":                     {operation: apiadmission.Update, resource: "attestations", object: owned(attestation, "a"), old: attestation, denied: "no owner reference"},
		"evidence given another owner":                {operation: apiadmission.Update, resource: "attestations", object: owned(attestation, "b"), old: owned(attestation, "a"), denied: "no owner reference"},
		"evidence that keeps its owner":               {operation: apiadmission.Update, resource: "attestations", object: owned(attestation, "a"), old: owned(attestation, "a", "b")},
		"a model with an owner":                       {operation: apiadmission.Create, resource: "modeldeployments", object: owned(builder.ModelDeployment("serving", "opus").Build(), "a")},
		"owned evidence, collected":                   {user: collector, operation: apiadmission.Delete, resource: "attestations", old: owned(attestation, "a"), denied: "the garbage collector takes"},
		"owned evidence, collected by all in one":     {user: "system:kube-controller-manager", operation: apiadmission.Delete, resource: "attestations", old: owned(attestation, "a"), denied: "the garbage collector takes"},
		"owned evidence goes with its namespace":      {user: "system:kube-controller-manager", operation: apiadmission.Delete, resource: "attestations", old: owned(attestation, "a"), ending: true},
		"owned evidence, deleted by a person":         {operation: apiadmission.Delete, resource: "attestations", old: owned(attestation, "a")},
		"an assessment that finds danger, deleted":    {operation: apiadmission.Delete, resource: "capabilityassessments", old: severe, denied: withdraw},
		"an assessment that finds danger, withdrawn":  {user: "will", operation: apiadmission.Delete, resource: "capabilityassessments", old: severe},
		"an assessment that leaves all open, deleted": {operation: apiadmission.Delete, resource: "capabilityassessments", old: assessed(v1alpha1.AssessmentInconclusive), denied: withdraw},
		"an assessment that rules out all, deleted":   {operation: apiadmission.Delete, resource: "capabilityassessments", old: harmless},
		"a report deleted":                            {operation: apiadmission.Delete, resource: "riskreports", old: report, denied: withdraw},
		"a report withdrawn":                          {user: "will", operation: apiadmission.Delete, resource: "riskreports", old: report},
	} {
		t.Run(name, func(t *testing.T) {
			server := newAPIServer(t, admission.Policies(install, nil, tc.frameworks...), nil)
			if tc.unstamped {
				server.policies = server.policies.WithoutMutation()
			}
			if tc.ending {
				server.namespace.DeletionTimestamp = &metav1.Time{Time: server.now}
			}
			server.allowed = []string{"ann approve approvals/rso", install.Username + " approve approvals/rso", "bob approve approvals/ceo",
				bot + " approve approvals/rso", node + " approve approvals/rso",
				"will withdraw capabilityassessments/cbrn", "will withdraw riskreports/newest"}
			user := tc.user
			if user == "" {
				user = "ann"
			}
			a := server.serve(t, request{user: user, operation: tc.operation, object: tc.object, old: tc.old, impersonated: tc.impersonated,
				resource: v1alpha1.GroupVersion.WithResource(tc.resource)})
			denials := strings.Join(a.denials, "\n")
			if denied := denials != ""; denied != (tc.denied != "") || !strings.Contains(denials, tc.denied) {
				t.Errorf("denials %q, want %q", denials, tc.denied)
			}
		})
	}
}

// owned gives a copy of an object with owners.
func owned[T interface {
	client.Object
	DeepCopy() T
}](o T, owners ...types.UID) T {
	o = o.DeepCopy()
	var references []metav1.OwnerReference
	for _, uid := range owners {
		references = append(references, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "handle", UID: uid})
	}
	o.SetOwnerReferences(references)
	return o
}
