package admission_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// TestOnlyTheOperatorWritesVerdicts is about clearances, ledgers and the status of our kinds, whatever RBAC allows.
func TestOnlyTheOperatorWritesVerdicts(t *testing.T) {
	clearances, other := clearing(), clearing(cleared("opus", "09:00:00"))
	foreign := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "interlock-clearances-2"}}
	ledger := newLedger()
	model := builder.ModelDeployment("serving", "opus").Build()
	for name, tc := range map[string]struct {
		operation             apiadmission.Operation
		resource, subresource string
		object, old           runtime.Object
		ending                bool
		others                bool   // may do it as well
		operatorNot           bool   // may do it
		allowed               string // by RBAC, to the operator
	}{
		"clearances made":                           {operation: apiadmission.Create, resource: "limitranges", object: other},
		"clearances changed":                        {operation: apiadmission.Update, resource: "limitranges", object: other, old: clearances},
		"clearances deleted":                        {operation: apiadmission.Delete, resource: "limitranges", old: clearances},
		"clearances deleted with their namespace":   {operation: apiadmission.Delete, resource: "limitranges", old: clearances, ending: true, others: true},
		"clearances changed as the namespace ends":  {operation: apiadmission.Update, resource: "limitranges", object: other, old: clearances, ending: true},
		"another LimitRange made":                   {operation: apiadmission.Create, resource: "limitranges", object: foreign, others: true, operatorNot: true},
		"another LimitRange made that it may patch": {operation: apiadmission.Create, resource: "limitranges", object: foreign, others: true, allowed: "patch limitranges/interlock-clearances-2"},
		"another LimitRange changed":                {operation: apiadmission.Update, resource: "limitranges", object: foreign, old: foreign, others: true},
		"another LimitRange deleted":                {operation: apiadmission.Delete, resource: "limitranges", old: foreign, others: true},
		"a ledger made":                             {operation: apiadmission.Create, resource: "clearanceledgers", object: ledger},
		"a ledger changed":                          {operation: apiadmission.Update, resource: "clearanceledgers", object: ledger, old: ledger},
		"a ledger deleted":                          {operation: apiadmission.Delete, resource: "clearanceledgers", old: ledger},
		"a ledger deleted with its namespace":       {operation: apiadmission.Delete, resource: "clearanceledgers", old: ledger, ending: true, others: true},
		"the status of a model":                     {operation: apiadmission.Update, resource: "modeldeployments", subresource: "status", object: model, old: model},
		"a model":                                   {operation: apiadmission.Update, resource: "modeldeployments", object: model, old: model, others: true, operatorNot: true},
		"the status of a policy": {operation: apiadmission.Update, resource: "scalingpolicies", subresource: "status",
			object: &v1alpha1.ScalingPolicy{}, old: &v1alpha1.ScalingPolicy{}},
		"the status of a Safeguard": {operation: apiadmission.Update, resource: "safeguards", subresource: "status",
			object: &v1alpha1.Safeguard{}, old: &v1alpha1.Safeguard{}},
	} {
		for user, may := range map[string]bool{install.Username: !tc.operatorNot, "ann": tc.others, install.Username + "x": tc.others, "system:serviceaccount:serving:interlock": tc.others} {
			server := newAPIServer(t, admission.Policies(install, nil, admission.Framework{Name: "rsp-v2.2"}), enforced)
			if tc.allowed != "" {
				server.allowed = []string{install.Username + " " + tc.allowed}
			}
			if tc.ending {
				server.namespace.DeletionTimestamp = &metav1.Time{Time: server.now}
			}
			a := server.serve(t, request{user: user, operation: tc.operation, subresource: tc.subresource, object: tc.object, old: tc.old,
				resource: versionOf(tc.resource).WithResource(tc.resource)})
			if allowed := len(a.denials) == 0; allowed != may {
				t.Errorf("%s by %s: allowed %v: %q", name, user, allowed, a.denials)
			}
		}
	}
}

func versionOf(resource string) schema.GroupVersion {
	if resource == "limitranges" {
		return corev1.SchemeGroupVersion
	}
	return v1alpha1.GroupVersion
}

func newLedger() *v1alpha1.ClearanceLedger {
	return &v1alpha1.ClearanceLedger{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ClearanceLedger"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: v1alpha1.LedgerName},
		Spec:       v1alpha1.ClearanceLedgerSpec{Policy: "rsp-v2.2"}}
}

// TestEnrolment is about who may change the labels of a namespace that put it under a policy.
func TestEnrolment(t *testing.T) {
	labelled := func(labels ...string) *corev1.Namespace {
		b := builder.Namespace("serving")
		for i := 0; i < len(labels); i += 2 {
			b.Label("interlock.dev/"+labels[i], labels[i+1])
		}
		return b.Build()
	}
	system := labelled("enforce", "rsp")
	system.Name = "kube-system"
	own := labelled("enforce", "rsp")
	own.Name = install.Namespace
	warned := labelled("warn", "rsp")
	warned.Name = "kube-system"
	for name, tc := range map[string]struct {
		old, changed *corev1.Namespace // old is nil for a namespace that is made
		subresource  string
		allowed      []string
		denied       string // a part of the message; empty, it is not
	}{
		"made without labels":            {nil, labelled(), "", nil, ""},
		"made under a policy":            {nil, labelled("enforce", "rsp"), "", []string{"enroll scalingpolicies/rsp"}, ""},
		"made under a policy, no right":  {nil, labelled("enforce", "rsp"), "", nil, `user "ann" needs the RBAC verb enroll on scalingpolicies rsp`},
		"made under three":               {nil, labelled("enforce", "a", "warn", "b", "audit", "c"), "", []string{"enroll scalingpolicies/a", "enroll scalingpolicies/b", "enroll scalingpolicies/c"}, ""},
		"made under three, one no right": {nil, labelled("enforce", "a", "warn", "b", "audit", "c"), "", []string{"enroll scalingpolicies/a", "enroll scalingpolicies/b"}, "scalingpolicies c"},
		"other labels":                   {labelled("enforce", "rsp"), labelled("enforce", "rsp", "team", "x"), "", nil, ""},
		"the default model":              {labelled("enforce", "rsp"), labelled("enforce", "rsp", "model", "opus"), "", nil, ""},
		"taken out":                      {labelled("enforce", "rsp"), labelled(), "", []string{"enroll scalingpolicies/rsp"}, ""},
		"taken out, no right":            {labelled("enforce", "rsp"), labelled(), "", []string{"enroll scalingpolicies/other"}, "scalingpolicies rsp"},
		"taken out by the status":        {labelled("enforce", "rsp"), labelled(), "status", nil, "scalingpolicies rsp"},
		"taken out by finalize":          {labelled("enforce", "rsp"), labelled(), "finalize", nil, "scalingpolicies rsp"},
		"emptied":                        {labelled("enforce", "rsp"), labelled("enforce", ""), "", nil, "needs the RBAC verb enroll"},
		"another policy":                 {labelled("enforce", "rsp"), labelled("enforce", "lax"), "", []string{"enroll scalingpolicies/rsp", "enroll scalingpolicies/lax"}, ""},
		"another policy, only to leave":  {labelled("enforce", "rsp"), labelled("enforce", "lax"), "", []string{"enroll scalingpolicies/rsp"}, "needs the RBAC verb enroll"},
		"another policy, only to come":   {labelled("enforce", "rsp"), labelled("enforce", "lax"), "", []string{"enroll scalingpolicies/lax"}, "needs the RBAC verb enroll"},
		"another verb":                   {nil, labelled("enforce", "rsp"), "", []string{"update scalingpolicies/rsp", "* scalingpolicies/rsp"}, "needs the RBAC verb enroll"},
		"a warning gone":                 {labelled("enforce", "rsp", "warn", "next"), labelled("enforce", "rsp"), "", nil, "scalingpolicies next"},
		"narrowed":                       {labelled("enforce", "rsp"), labelled("enforce", "rsp", "coverage", "accelerators"), "", []string{"enroll scalingpolicies/rsp"}, ""},
		"narrowed, no right":             {labelled("enforce", "rsp"), labelled("enforce", "rsp", "coverage", "accelerators"), "", nil, "needs the RBAC verb enroll"},
		"narrowed before it is enrolled": {labelled(), labelled("coverage", "accelerators"), "", nil, "needs the RBAC verb enroll"},
		"kube-system":                    {nil, system, "", []string{"enroll scalingpolicies/rsp"}, "can never be enrolled"},
		"the operator's own":             {nil, own, "", []string{"enroll scalingpolicies/rsp"}, "can never be enrolled"},
		"kube-system, only warned":       {nil, warned, "", []string{"enroll scalingpolicies/rsp"}, ""},
	} {
		server := newAPIServer(t, admission.Policies(install, nil), nil)
		for _, check := range tc.allowed {
			server.allowed = append(server.allowed, "ann "+check)
		}
		bothServers(t, name, server, func(t *testing.T, s *apiServer) {
			r := request{user: "ann", operation: apiadmission.Create, subresource: tc.subresource, object: tc.changed,
				resource: corev1.SchemeGroupVersion.WithResource("namespaces")}
			if tc.old != nil {
				r.operation, r.old = apiadmission.Update, tc.old
			}
			denials := strings.Join(s.serve(t, r).denials, "; ")
			if tc.denied == "" && denials != "" || !strings.Contains(denials, tc.denied) {
				t.Errorf("denials %q, want %q", denials, tc.denied)
			}
		})
	}
}

// TestNotices is what somebody is told who applies a workload.
func TestNotices(t *testing.T) {
	notices := newLedger()
	notice := func(model, label, message string, rules ...string) v1alpha1.Notice {
		return v1alpha1.Notice{Model: model, Label: label, Rules: admission.RuleNames(rules), Message: message}
	}
	notices.Spec.Notices = []v1alpha1.Notice{
		notice("haiku", v1alpha1.EnforceLabel, "", "image-pinned"),
		notice("opus", v1alpha1.AuditLabel, "of the audit"),
		notice("opus", v1alpha1.EnforceLabel, "2 of 5 safeguards missing", "image-pinned", "no-host"),
		notice("opus", v1alpha1.WarnLabel, "v3.0 would ask for more"),
	}
	deployment := func(template *builder.PodBuilder) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "vllm"}, Spec: appsv1.DeploymentSpec{Template: template.Template()}}
	}
	cronJob := func(template *builder.PodBuilder) *batchv1.CronJob {
		return &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "eval"},
			Spec: batchv1.CronJobSpec{JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template.Template()}}}}
	}
	owned := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "serving", Name: "vllm-1", OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Controller: new(true)}}},
		Spec: appsv1.ReplicaSetSpec{Template: pod().Template()}}
	all := map[string]string{v1alpha1.EnforceLabel: "rsp", v1alpha1.WarnLabel: "next", v1alpha1.AuditLabel: "past"}
	const (
		pinned    = "interlock-notice: Safeguard image-pinned: an image is named by a tag. name images by digest"
		namesNone = "interlock-notice: the pod template names no model in the label interlock.dev/model: its pods will be refused if they need one"
	)
	deployments, cronJobs, replicaSets := appsv1.SchemeGroupVersion.WithResource("deployments"), batchv1.SchemeGroupVersion.WithResource("cronjobs"), appsv1.SchemeGroupVersion.WithResource("replicasets")
	for name, tc := range map[string]struct {
		labels map[string]string
		r      request
		// defaultModel of the ledger.
		defaultModel     string
		warnings, audits []string
	}{
		"cleared, and as it should be": {enforced, request{resource: deployments, object: deployment(pod().Model("haiku"))}, "", nil, nil},
		"cleared, breaks a rule":       {enforced, request{resource: deployments, object: deployment(pod().Model("haiku").Image(builder.TaggedImage))}, "", []string{pinned}, nil},
		"not cleared, under three": {all, request{resource: deployments, object: deployment(pod().Model("opus").Image(builder.TaggedImage))}, "",
			[]string{"interlock-notice: 2 of 5 safeguards missing | v3.0 would ask for more", pinned}, []string{"interlock-audit: of the audit"}},
		"breaks both halves of a rule": {enforced, request{resource: deployments, object: deployment(pod().Model("opus").HostNetwork().HostPID())}, "",
			[]string{"interlock-notice: 2 of 5 safeguards missing | v3.0 would ask for more",
				"interlock-notice: Safeguard no-host: the pod is on the host's network; the pod sees the host's processes. leave the host alone"}, nil},
		"breaks one half": {enforced, request{resource: deployments, object: deployment(pod().Model("opus").HostPID())}, "",
			[]string{"interlock-notice: 2 of 5 safeguards missing | v3.0 would ask for more",
				"interlock-notice: Safeguard no-host: the pod sees the host's processes. leave the host alone"}, nil},
		"no such model": {enforced, request{resource: deployments, object: deployment(pod().Model("sonnet"))}, "",
			[]string{`interlock-notice: no ModelDeployment "sonnet" is declared in this namespace: pods that name it are held until it is`}, nil},
		"names none":           {enforced, request{resource: deployments, object: deployment(pod())}, "", []string{namesNone}, nil},
		"the default":          {enforced, request{resource: deployments, object: deployment(pod().Image(builder.TaggedImage))}, "haiku", []string{pinned}, nil},
		"a CronJob":            {enforced, request{resource: cronJobs, object: cronJob(pod().Model("haiku").Image(builder.TaggedImage))}, "", []string{pinned}, nil},
		"made by a controller": {enforced, request{resource: replicaSets, object: owned}, "", nil, nil},
		"only warned":          {map[string]string{v1alpha1.WarnLabel: "next"}, request{resource: deployments, object: deployment(pod())}, "", []string{namesNone}, nil},
		"only audited":         {map[string]string{v1alpha1.AuditLabel: "past"}, request{resource: deployments, object: deployment(pod().Model("opus"))}, "", nil, []string{"interlock-audit: of the audit"}},
		"not enrolled":         {nil, request{resource: deployments, object: deployment(pod())}, "", nil, nil},
	} {
		ledger := notices.DeepCopy()
		ledger.Spec.DefaultModel = tc.defaultModel
		bothServers(t, name, newAPIServer(t, admission.Policies(install, rulesOfTests()), tc.labels).put(ledger), func(t *testing.T, s *apiServer) {
			tc.r.user, tc.r.operation = "ann", apiadmission.Create
			a := s.serve(t, tc.r)
			if diff := cmp.Diff(tc.warnings, a.warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.audits, a.audits); diff != "" {
				t.Errorf("audits (-want +got):\n%s", diff)
			}
			if a.denials != nil {
				t.Errorf("denied: %q", a.denials)
			}
		})
	}
	t.Run("no notices", func(t *testing.T) {
		a := newAPIServer(t, admission.Policies(install, nil), enforced).serve(t, request{user: "ann", operation: apiadmission.Create, resource: deployments, object: deployment(pod())})
		if len(a.warnings)+len(a.denials) > 0 {
			t.Errorf("warnings %q, denials %q", a.warnings, a.denials)
		}
	})
}
