package bypass

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A mutant is the manager with one defence broken. The specs that it names must fail then: proof_test.go sees to it, and
// README.md is written from this table.
type mutant struct {
	name string
	// defence is what protects, and where it stands.
	defence string
	// broken says in words what the edits do.
	broken string
	edits  []change
	// red names the specs that must fail, each by the beginning of its text.
	red []string
}

// change replaces a text that occurs in a file just once.
type change struct{ file, old, new string }

const (
	guards      = "internal/admission/guards.go"
	podPolicies = "internal/admission/pods.go"
	expressions = "internal/admission/expressions.go"
	coverage    = "internal/admission/coverage.go"
	hold        = "internal/admission/hold.go"
	policies    = "internal/admission/admission.go"
	same        = "internal/admission/same.go"
	drift       = "controllers/admission/reconciler.go"
	alarms      = "controllers/admission/keep.go"
	model       = "controllers/modeldeployment/reconciler.go"
	releases    = "controllers/modeldeployment/pods.go"
	ledgers     = "controllers/ledger/reconciler.go"
	strays      = "controllers/stray/reconciler.go"
	decisions   = "internal/decision/decision.go"
	authority   = "internal/admission/authority.go"
	approvals   = "internal/decision/approve.go"
	waiving     = "internal/decision/waive.go"
	gathering   = "internal/verdict/gather.go"
	verdicts    = "internal/verdict/judge.go"
	indexing    = "internal/verdict/indexes.go"
	attesting   = "internal/safeguard/attest.go"
	trusting    = "internal/evidence/trust.go"
	reading     = "internal/evidence/json.go"
	statements  = "internal/evidence/statement.go"
	steps       = "internal/decision/shortfall.go"
	adjustments = "internal/admission/adjust.go"
	adjusting   = "internal/admission/adjustcel.go"
	finding     = "internal/verdict/attestations.go"
	verifying   = "internal/evidence/evidence.go"
	signatures  = "internal/evidence/signatures.go"
	predicates  = "internal/evidence/predicate.go"
	fetching    = "controllers/attestation/fetch.go"
	inspecting  = "internal/safeguard/inspect.go"
	safeguards  = "config/crd/bases/interlock.dev_safeguards.yaml"
	falling     = "internal/decision/fallback.go"
	turning     = "internal/workload/turn.go"
	compiling   = "internal/safeguard/compile.go"
	ruling      = "api/v1alpha1/safeguard_types.go"
	keeping     = "controllers/surroundings/objects.go"
	templates   = "internal/adjust/adjust.go"
	filling     = "internal/adjust/values.go"
)

// Changes that several mutants make.
var (
	anybodyReleases = change{podPolicies, `deny(fmt.Sprintf("%s || !%s || request.userInfo.username == %s", held, oldGated, quoted(install.Username)),`,
		`deny(fmt.Sprintf("true || %s || !%s || request.userInfo.username == %s", held, oldGated, quoted(install.Username)),`}
	unclearedRelease = change{podPolicies, `deny(held+" || variables.named == '' || "+isCleared("variables.named"),`,
		`deny(held+" || true",`}
	rulesOnlyAtCreation = change{podPolicies, `append(validations, ruleValidations(rules, held)...)`, `validations`}
	anyModelStarts      = change{podPolicies, `fmt.Sprintf("(%s != '' ? %s ||`, `fmt.Sprintf("(%s != '' ? true || %s ||`}
	nothingIsHeld       = change{hold, `fmt.Sprintf("%s != '' ? !%s && !%s : %s != ''",`,
		`fmt.Sprintf("false && (%s != '' ? !%s && !%s : %s != '')",`}
)

// firstMutants break the defences of the first round; those of later topics stand in files of their own.
var firstMutants = []mutant{
	{"gate-for-all", "`interlock-guard`: only Interlock takes the gate away, and only of a cleared model",
		"both validations pass", []change{anybodyReleases, unclearedRelease},
		[]string{"1: a pod kept alive", "12: a field", "13: nobody but Interlock", "13: a gate that its author", "16: a held pod",
			"34: a manager that is killed while", "35: when Interlock is dead"}},
	{"label-thaws", "`interlock-guard`: the label is frozen", "the validation passes",
		[]change{{podPolicies, `deny("!("+relabelled+")", frozenMessage, "")`, `deny("true", frozenMessage, "")`}},
		[]string{"1: a pod kept alive", "2: the model that a pod names is frozen, whether", "12: a field"}},
	{"label-thaws-empty", "`interlock-guard`: an empty label is not an absent one", "`relabelled` takes both for the same",
		[]change{{expressions, "relabelled = fmt.Sprintf(`object.metadata.?labels['%[1]s'].orValue('-') != oldObject.metadata.?labels['%[1]s'].orValue('-')`",
			"relabelled = fmt.Sprintf(`object.metadata.?labels['%[1]s'].orValue('') != oldObject.metadata.?labels['%[1]s'].orValue('')`"}},
		[]string{"2: a pod that names no model"}},
	{"empty-uncounted", "stray controller: an empty name is none", "it looks only for pods without the label",
		[]change{{strays, `if admission.Covered(`, `if _, bears := pod.Labels[v1alpha1.ModelLabel]; !bears && admission.Covered(`}},
		[]string{"2: pods that ran before"}},
	{"status-relabels", "`interlock-identity`: matches `pods/status`", "it does not",
		[]change{{podPolicies, `resources("", "v1", onUpdate, "pods/status"), `, ``}},
		[]string{"2: the model that a pod names is frozen for"}},
	{"binding-relabels", "`interlock-identity`: matches `pods/binding` and `bindings`", "it does not",
		[]change{{podPolicies, `, resources("", "v1", onCreate, "pods/binding", "bindings")`, ``}},
		[]string{"2: a Binding cannot"}},
	{"legacy-binding-relabels", "`interlock-identity`: matches the legacy `bindings`", "it matches `pods/binding` alone",
		[]change{{podPolicies, `"pods/binding", "bindings")`, `"pods/binding")`}},
		[]string{"2: a Binding cannot"}},

	{"names-leave", "`interlock-enrolment`: asks for the verb on the policy that is left", "only the new policy is asked about",
		[]change{{guards, `"[%s, %s].filter(p, p != '-')", labelOf("oldObject", label), labelOf("object", label))`,
			`"[%s].filter(p, p != '-')", labelOf("object", label))`}},
		[]string{"3: no request to a namespace", "3: who may enrol under one"}},
	{"namespace-status", "`interlock-enrolment`: matches `namespaces/status`", "it does not",
		[]change{{guards, `"namespaces", "namespaces/status", "namespaces/finalize"`, `"namespaces", "namespaces/finalize"`}},
		[]string{"3: no request to a namespace", "3: coverage, warning"}},
	{"namespace-finalize", "`interlock-enrolment`: matches `namespaces/finalize`", "it does not",
		[]change{{guards, `"namespaces", "namespaces/status", "namespaces/finalize"`, `"namespaces", "namespaces/status"`}},
		[]string{"3: no request to a namespace"}},
	{"coverage-open", "`interlock-enrolment`: coverage belongs to the enrolment", "its change asks for nothing",
		[]change{{guards, `changes(v1alpha1.EnforceLabel)+" || "+changes(v1alpha1.CoverageLabel)`, `changes(v1alpha1.EnforceLabel)`}},
		[]string{"3: coverage, warning", "3: nobody creates a namespace"}},
	{"warning-open", "`interlock-enrolment`: warn and audit belong to the enrolment", "their change asks for nothing",
		[]change{{guards, `		mayEnroll(v1alpha1.WarnLabel, changes(v1alpha1.WarnLabel)),
		mayEnroll(v1alpha1.AuditLabel, changes(v1alpha1.AuditLabel)),
`, ``}},
		[]string{"3: coverage, warning", "3: nobody creates a namespace"}},
	{"empty-is-absent", "`interlock-enrolment`: an empty label is not an absent one", "`labelOf` takes both for the same",
		[]change{{guards, `"(%[1]s == null ? '-' : %[1]s.metadata.?labels['%[2]s'].orValue('-'))"`,
			`"(%[1]s == null || %[1]s.metadata.?labels['%[2]s'].orValue('') == '' ? '-' : %[1]s.metadata.?labels['%[2]s'].orValue('-'))"`}},
		[]string{"3: nobody creates a namespace"}},
	{"system-enrols", "`interlock-enrolment`: some namespaces are never enrolled", "the validation passes",
		[]change{{guards, `deny(fmt.Sprintf("!(object`, `deny(fmt.Sprintf("true || !(object`}},
		[]string{"3: nobody creates a namespace"}},
	{"default-wins", "`interlock-hold`: the name on the pod goes before the default", "the default wins",
		[]change{{hold, `"variables.named != '' ? variables.named : " + defaultModel`, `defaultModel + " != '' ? " + defaultModel + " : variables.named"`}},
		[]string{"3: the default model"}},

	{"nameless-start", "`interlock-admit`: a pod must name its model", "one that names none is as it should be",
		[]change{{podPolicies, `meetsRules(rules)), uncovered,`, `meetsRules(rules)), "true",`}},
		[]string{"5: a pod must name", "5: where only accelerators", "6: a workload whose template", "8: an owner", "11: another team's", "15: a pod that poses", "3: coverage, warning"}},
	{"init-unseen", "`uncovered`: looks at init containers", "it looks at ordinary ones alone",
		[]change{{coverage, `[dyn(object.spec.containers), dyn(object.spec.?initContainers.orValue([]))].all`, `[object.spec.containers].all`}},
		[]string{"5: where only accelerators"}},
	{"claims-unseen", "`uncovered`: looks at device claims", "it does not",
		[]change{{coverage, ` && object.spec.?resourceClaims.orValue([]).size() == 0 &&`, ` &&`}},
		[]string{"5: where only accelerators"}},
	{"rules-unasked", "`interlock-admit`: pod rules, judged after all mutation", "the match condition does not look at rules",
		[]change{{podPolicies, `isOpened(modelOf)+meetsRules(rules))`, `isOpened(modelOf))`}},
		[]string{"5: what a pod rule asks", "11: another team's", "3: the default model", "15: a pod that poses"}},
	{"rules-forgotten", "`interlock-guard`: pod rules at every change", "it has none",
		[]change{rulesOnlyAtCreation}, []string{"5: what a pod rule asks", "1: a pod kept alive"}},
	{"ephemeral-unseen", "`interlock-guard`: matches `pods/ephemeralcontainers`", "it does not",
		[]change{{podPolicies, `"pods", "pods/ephemeralcontainers", "pods/resize"`, `"pods", "pods/resize"`}},
		[]string{"5: what a pod rule asks"}},
	{"init-unruled", "`AllContainers`: init containers count in pod rules", "they do not",
		[]change{{ruling, ` + dyn(object.spec.?initContainers.orValue([]))`, ``}}, []string{"5: what a pod rule asks"}},
	{"ephemeral-unruled", "`AllContainers`: ephemeral containers count in pod rules", "they do not",
		[]change{{ruling, `"dyn(object.spec.?ephemeralContainers.orValue([]))"`, `"[]"`}}, []string{"5: what a pod rule asks"}},
	{"unfit-released", "release: only pods that are fit, and `interlock-guard` looks again", "neither looks",
		[]change{rulesOnlyAtCreation, {model, `r.release(proven, p.judged.Fit(p.Held()))`, `r.release(ctx, p.Held())`}},
		[]string{"5: what is slipped", "11: a pod that a mutator gives"}},

	{"nothing-held", "`interlock-hold` and `interlock-admit`: no clearance, no start", "the one adds no gate, the other asks for none",
		[]change{nothingIsHeld, anyModelStarts},
		[]string{"6: the pods of an uncleared", "7: raising the scale", "8: an owner", "10: a pod of an uncleared", "10: a name that resembles",
			"11: another team's", "14: no node", "15: a pod that poses", "5: a pod must name", "33: with the judgement", "33: with the mutation deleted"}},
	{"name-part", "`isCleared` and `lineOf`: a name stands between a line break and a blank", "a part of a name will do",
		[]change{{expressions, `.contains('\n' + %s + ' ')`, `.contains(%s + ' ')`}, {expressions, `.split('\n' + %s + ' ', 2)`, `.split(%s + ' ', 2)`}},
		[]string{"10: a name that resembles"}},
	{"gate-twice", "`interlock-hold`: leaves a pod alone that has the gate", "it adds another",
		[]change{{hold, `(%[1]s || %[2]s ? [] :`, `(%[2]s ? [] :`}, {hold, `isCleared(modelOf), gated, defaultModel)`, `isCleared(modelOf), "false", defaultModel)`}},
		[]string{"13: a pod created with our gate", "13: a gate that its author"}},
	{"gates-all-go", "release: takes our gate and no other", "it takes all",
		[]change{{releases, `{{"$patch": "delete", "name": v1alpha1.ClearanceGate}}`, `{{"$patch": "replace"}}`}},
		[]string{"13: a gate of somebody else"}},

	{"ledger-open", "`interlock-ledgers`: only Interlock writes clearances and ledgers", "the validation passes for these",
		[]change{{guards, `deny(byOperator+" ||`, `deny("request.resource.resource in ['limitranges', 'clearanceledgers'] || "+byOperator+" ||`}},
		[]string{"10: nobody but Interlock", "10: no clearances and no ledger", "33: with the kind of the ledger"}},
	{"ledger-deletable", "`interlock-ledgers`: judges deletion", "it does not",
		[]change{{guards, `resources("", "v1", onWrite, "limitranges")`, `resources("", "v1", onApply, "limitranges")`}},
		[]string{"10: nobody but Interlock"}},
	{"any-limitrange", "`interlock-ledgers`: Interlock creates no LimitRange that it may not change", "it does",
		[]change{{guards, `deny(fmt.Sprintf("!(%s) || request.operation`, `deny(fmt.Sprintf("true || !(%s) || request.operation`}},
		[]string{"30: "}},
	{"planted-stays", "ledger controller: takes over what clings", "it leaves what has a finalizer alone",
		[]change{{ledgers, "\tcase !wanted:", "\tcase len(o.GetFinalizers()) > 0:\n\t\treturn nil\n\tcase !wanted:"}},
		[]string{"10: clearances that were planted"}},
	{"status-open", "`interlock-ledgers`: only Interlock writes a status", "it does not match them",
		[]change{{guards, `onUpdate, "modeldeployments/status"`, `onCreate, "modeldeployments/status"`}},
		[]string{"29: a status is nobody's", "9: another version"}},
	{"version-exact", "match policy `Equivalent`", "it is `Exact`",
		[]change{{policies, `MatchPolicy: new(admissionv1.Equivalent)`, `MatchPolicy: new(admissionv1.Exact)`}},
		[]string{"9: another version"}},
	{"declaration-gone", "stray controller: pods whose declaration was taken back", "it does not look for any",
		[]change{{strays, `if !declared[model] {`, `if false {`}},
		[]string{"29: taking back", "2: pods that ran before"}},

	{"never-revoked", "ledger controller: writes what the verdict is now", "what is cleared once stays so",
		[]change{{ledgers, `		case !standing.Cleared() || standing.Equal(stands):`, `		case stands.Cleared():
			clearances.Models[model.Name] = stands
		case !standing.Cleared() || standing.Equal(stands):`}},
		[]string{"7: raising the scale", "34: whenever a manager", "34: two managers", "33: a policy or a safeguard", "10: what is kept"}},
	{"all-released", "release: only of a cleared model, and `interlock-guard` looks again", "neither looks",
		[]change{unclearedRelease, {model, `	case "": // Nothing is enforced here any more, so nothing may hold a pod.
		err = errors.Join(err, r.release(proven, p.Held()))`, `	default:
		err = errors.Join(err, r.release(ctx, p.Held()))`}},
		[]string{"34: a manager that is killed while", "34: whenever a manager", "34: two managers"}},
	{"managers-disagree", "`LeaseEnd`: ends lie on a grid of time, so that two managers agree", "each process has a grid of its own",
		[]change{{decisions, `slot := now.UTC().Truncate(half)`, `slot := now.UTC().Truncate(half).Add(time.Duration(os.Getpid()%60) * time.Second)`},
			{decisions, `	"fmt"
	"slices"
`, `	"fmt"
	"os"
	"slices"
`}},
		[]string{"34: two managers"}},
	{"no-lease", "`interlock-admit`: the creation time is before the end of the lease", "it does not look",
		[]change{{expressions, "inLease = \"object.metadata.creationTimestamp < \" + endOf(\"clearance\")", "inLease = \"true\""}},
		[]string{"35: when Interlock is dead"}},
	{"no-ledger-no-matter", "bindings: a missing ledger denies", "it allows",
		[]change{
			{policies, `v1alpha1.ClearancesName, ParameterNotFoundAction: new(admissionv1.DenyAction)`, `v1alpha1.ClearancesName, ParameterNotFoundAction: new(admissionv1.AllowAction)`}},
		[]string{"35: a namespace that is enrolled", "33: with its clearances deleted"}},

	{"drift-unseen", "admission controller: watches its policies and bindings", "it does not",
		[]change{{drift, `changed := builder.WithPredicates(`, `changed := builder.WithPredicates(predicate.NewPredicateFuncs(func(client.Object) bool { return false }), `}},
		[]string{"33: each admission policy", "33: a change that loosens"}},
	{"drift-merged", "`Same`: the spec is equal to the last field", "what others added does not count",
		[]change{{same, `apiequality.Semantic.DeepEqual(specOf(want), specOf(have))`, `apiequality.Semantic.DeepDerivative(specOf(want), specOf(have))`}},
		[]string{"33: a change that loosens"}},
	{"drift-silent", "admission controller: an event on each repair", "there is none",
		[]change{{alarms, `r.Events.Eventf(o, nil, corev1.EventTypeWarning,`, `(func(...any) {})(o, nil, corev1.EventTypeWarning,`}},
		[]string{"33: each admission policy", "33: a change that loosens"}},
	{"drift-uncounted", "admission controller: a metric counts repairs", "it does not",
		[]change{{alarms, `metrics.DriftRepairs.Inc()`, `_ = metrics.DriftRepairs`}}, []string{"33: each admission policy", "33: a change that loosens"}},
	{"mutation-trusted", "`interlock-admit`: looks for the gate itself", "it trusts `interlock-hold`",
		[]change{anyModelStarts}, []string{"33: with the mutation deleted", "11: another team's"}},
	{"judgement-trusted", "`interlock-hold`: gates even where nobody judges", "it adds no gate",
		[]change{nothingIsHeld}, []string{"33: with the judgement"}},
	{"loose-stays", "model controller: takes out what runs without clearance", "it does not",
		[]change{{model, `if p.judged.Shortfall.Short() && !p.judged.OnlyWaits {`, `if false && p.judged.Shortfall.Short() && !p.judged.OnlyWaits {`}},
		[]string{"33: what an admin lets loose", "7: raising the scale", "34: whenever a manager", "34: two managers"}},
	{"isolation-counts", "gathering: what isolates a model is no evidence for it", "it counts as any NetworkPolicy",
		[]change{{verdicts, `return workload.IsIsolation(&p)`, `return false && workload.IsIsolation(&p)`}},
		[]string{"7: the pods of a revoked"}},
	{"steps-at-once", "`OnShortfall`: a step is taken when it is due", "all are taken at once",
		[]change{{steps, `if now.Before(at) {`, `if false && now.Before(at) {`}},
		[]string{"7: the pods of a revoked"}},
	{"adjusts-nothing", "`interlock-hold`: gives pods what the model needs", "it gives nothing",
		[]change{{adjusting, `return "(!variables.lacking ? [] :`, `return "(true || !variables.lacking ? [] :`}},
		[]string{"11: a pod has what"}},
	{"conflicts-unfound", "`Conflicts`: finds adjustments that do not agree", "it finds none",
		[]change{{adjustments, `for _, other := range p.yields {`, `for _, other := range p.yields[:0] {`}},
		[]string{"41: adjustments that do not agree"}},
	{"no-policy-no-matter", "`Decide`: no policy, no clearance", "it clears",
		[]change{{decisions, `	if in.Policy == nil {
		return held(`, `	if in.Policy == nil {
		return Verdict{Outcome: v1alpha1.OutcomeCleared, ValidUntil: in.Now.Add(time.Hour)}
		return held(`}},
		[]string{"33: a policy or a safeguard"}},
	{"fails-open", "policies: failure policy `Fail`", "it is `Ignore`",
		[]change{{policies, `spec.FailurePolicy = new(admissionv1.Fail)`, `spec.FailurePolicy = new(admissionv1.Ignore)`},
			{hold, `new(admissionv1.Fail)`, `new(admissionv1.Ignore)`}},
		[]string{"35: a namespace that is enrolled", "33: with its clearances deleted"}},

	{"anybody-approves", "`interlock-authority`: asks for the verb on the role", "it does not",
		[]change{{authority, `deny(fmt.Sprintf("!(%s) || !(%s) || authorizer.group`, `deny(fmt.Sprintf("true || !(%s) || !(%s) || authorizer.group`}},
		[]string{"28: the verb to approve counts"}},
	{"verb-of-a-namespace", "`interlock-authority`: asks for the verb in the whole cluster", "the verb in the namespace will do",
		[]change{{authority, `resource('approvals').name(dyn(object).spec.role)`, `resource('approvals').namespace(object.metadata.namespace).name(dyn(object).spec.role)`}},
		[]string{"28: the verb to approve counts"}},
	{"impersonation-unseen", "`interlock-authority`: a credential must be known", "none need be",
		[]change{{authority, `!(%s) || variables.credential != ''", approval, waiver, made)`, `!(%s) || true", approval, waiver, made)`}},
		[]string{"28: an approval through impersonation", "55: an approval through constrained"}},
	{"name-from-manifest", "`interlock-stamp` and `interlock-authority`: who approved is who asked", "the manifest is believed",
		[]change{{authority, `request.resource.resource == 'approvals' ? [JSONPatch`, `request.resource.resource == 'approvals' && has(object.spec.approver) ? [] : request.resource.resource == 'approvals' ? [JSONPatch`},
			{authority, `deny(fmt.Sprintf("object == null || (%s`, `deny(fmt.Sprintf("true || object == null || (%s`}},
		[]string{"29: who approved, asked or wrote"}},
	{"stamp-unchecked", "`interlock-authority`: checks what `interlock-stamp` noted", "it trusts it",
		[]change{{authority, `deny(fmt.Sprintf("object == null || (%s`, `deny(fmt.Sprintf("true || object == null || (%s`}},
		[]string{"33: with the mutation that notes the approver"}},
	{"approval-status-open", "`interlock-ledgers`: matches the status of approvals and waivers", "it does not",
		[]change{{guards, `, "approvals/status", "waivers/status"`, ``}},
		[]string{"29: the status of an approval"}},
	{"operator-approves", "`interlock-authority`: Interlock is nobody who approves", "it is as anybody",
		[]change{{authority, `deny(fmt.Sprintf("request.userInfo.username != %s", quoted(install.Username)),`, `deny(fmt.Sprintf("true || request.userInfo.username != %s", quoted(install.Username)),`}},
		[]string{"30: with its token"}},
	{"author-approves", "`Objection`: who wrote it or asked for it does not count", "they do",
		[]change{{approvals, `case slices.Contains(authors, by.Username):`, `case false:`}},
		[]string{"28: nobody approves what they asked for"}},
	{"digest-unasked", "`Objection`: an approval is of a digest", "any will do",
		[]change{{approvals, `case a.Spec.Subject.Digest != digest || digest == "":`, `case digest == "":`}},
		[]string{"29: an approval of something else"}},
	{"namespace-unasked", "`reaches`: an approval is of the model's namespace", "any will do",
		[]change{{approvals, `return a.Namespace == in.Model.Namespace || ClusterScoped`, `return true || a.Namespace == in.Model.Namespace || ClusterScoped`}, {gathering, `client.InNamespace(namespace), client.UnsafeDisableDeepCopy`, `client.InNamespace(namespace[:0]), client.UnsafeDisableDeepCopy`}},
		[]string{"32: an approval or waiver of one namespace"}},
	{"laxer-waiver-wins", "`excuse`: of overlapping waivers the strictest counts", "the laxest does",
		[]change{{waiving, `(strictest == nil || w.ends.Before(strictest.ends))`, `(strictest == nil || w.ends.After(strictest.ends))`},
			{waiving, `w.ends.Before(excused.ends)`, `false`}},
		[]string{"31: overlapping waivers"}},
	{"waiver-outlasts", "`stand`: a waiver ends", "it does not",
		[]change{{waiving, `case !now.Before(w.ends):`, `case false:`}},
		[]string{"31: overlapping waivers"}},
	{"waivers-unlimited", "`refusal`: the policy says for how long, and of what", "it does not",
		[]change{{waiving, `if d := w.ends.Sub(w.begins); d > longest {`, `if d := w.ends.Sub(w.begins); false {`}, {waiving, `o.unwaivable && slices.Contains`, `false && slices.Contains`}},
		[]string{"31: a waiver that is too long"}},
	{"exempts-all", "`exemptions`: of the pod by the names of its model and of itself", "of all pods",
		[]change{{expressions, `lineOf(exemptionsKey, "variables.named + '/' + object.metadata.name")`, `"params.metadata.annotations['interlock.dev/exemptions'].split('\\n').join(' ').split(' ').filter(t, t.contains(',')).join(' ')"`}},
		[]string{"31: an exemption is"}},
	{"exemption-outlasts", "`interlock-admit`: the creation time is before the end of the exemption", "it does not look",
		[]change{{expressions, "inTime  = `dyn(object.metadata.creationTimestamp) < ` + endOf(\"e\")", "inTime  = `true`"}},
		[]string{"31: an exemption is"}},
	{"any-type", "evidence: the predicate type is the one that is asked for", "any counts",
		[]change{{attesting, `a.Statement == nil || a.Statement.PredicateType != r.spec.PredicateType`, `a.Statement == nil`}},
		[]string{"20: "}},
	{"any-subject", "evidence: a subject is the model's weights", "any subject counts",
		[]change{{attesting, `return slices.Contains(a.Statement.Subjects, s)`, `return true || slices.Contains(a.Statement.Subjects, s)`},
			{finding, `append(subjectsOf(g.Cluster)(md), in.Namespace, unknown)`, `append(subjectsOf(g.Cluster)(md), in.Namespace, unknown, "sha256:"+strings.Repeat("cd", 32), evidence.EnvironmentSubject("cluster", md.Namespace))`},
			{finding, "\"slices\"\n", "\"slices\"\n\t\"strings\"\n"}},
		[]string{"21: a genuine"}},
	{"keys-uncounted", "evidence: signers are counted by their keys", "each signature counts",
		[]change{{attesting, `if !slices.Contains(c.keys, key) {`, `if true {`}},
		[]string{"22: "}},
	{"ids-believed", "evidence: a key is what verifies a signature", "the id beside the signature is believed",
		[]change{{statements, `dsse.Signature{Sig: sig}`, `dsse.Signature{Sig: sig, KeyID: at(signature, "keyid")}`},
			{signatures, `return nil, fmt.Errorf("%w: none of its signatures is by a key that is trusted", ErrUntrusted)`,
				`return []dsse.AcceptedKey{{KeyID: p.envelope.Signatures[0].KeyID}}, nil`}},
		[]string{"23: "}},
	{"nobody-signs", "`Safeguard`: a threshold of at least one, of signers that are named", "any will do",
		[]change{{safeguards, "                    maximum: 16\n                    minimum: 1\n", ""}, {safeguards, "                    minItems: 1\n                    type: array\n                    x-kubernetes-list-type: set\n                  threshold:",
			"                    type: array\n                    x-kubernetes-list-type: set\n                  threshold:"}},
		[]string{"23: "}},
	{"predicate-unread", "evidence: a predicate must be what its type says", "it need not be",
		[]change{{statements, `if s.Failed, err = readPredicate(s); err != nil {`, `if s.Failed, err = readPredicate(s); false {`}},
		[]string{"24: "}},
	{"rest-unread", "evidence: nothing comes after the statement", "what comes there is not looked at",
		[]change{{reading, `if _, err := d.Token(); !errors.Is(err, io.EOF) {`, `if false {`}, {reading, "\t\"io\"\n", ""}},
		[]string{"25: "}},
	{"last-key-wins", "evidence: no key comes twice in JSON", "the last one counts",
		[]change{{reading, `if _, twice := object[key]; twice {`, `if false {`}},
		[]string{"25: "}},
	{"any-payload-type", "evidence: the payload type is that of in-toto", "any is read",
		[]change{{statements, `if e.PayloadType != PayloadType {`, `if false {`}},
		[]string{"25: "}},
	{"future-counts", "evidence: what is dated in the future does not count yet", "it does",
		[]change{{attesting, `case c.time.After(now):`, `case false:`}},
		[]string{"26: "}},
	{"never-too-old", "evidence: what is too old does not count", "it does",
		[]change{{attesting, `if !f.ValidUntil.IsZero() && !in.Now.Before(f.ValidUntil) {`, `if f.ValidUntil = (time.Time{}); false {`}},
		[]string{"26: "}},
	{"keys-never-end", "evidence: a key that is over does not count", "it does",
		[]change{{trusting, `case !s.notAfter.IsZero() && when.After(s.notAfter):`, `case false:`}},
		[]string{"26: "}},
	{"revoked-counts", "evidence: a key that is revoked does not count", "it does",
		[]change{{trusting, `return false, fmt.Errorf("%s is revoked: %s", name, s.revoked.Reason)`, `return true, nil`}},
		[]string{"26: "}},
	{"failure-unseen", "evidence: the newest that failed beats older ones that passed", "it does so only when none passed",
		[]change{{attesting, `case fails != nil && (passes == nil || !passes.time.After(fails.time)):`, `case fails != nil && passes == nil:`}},
		[]string{"27: "}},
	{"evidence-from-everywhere", "evidence: lies in the model's namespace or in that for all", "it is looked for in all namespaces",
		[]change{{finding, `slices.Compact([]string{md.Namespace, g.EvidenceNamespace})`, `slices.Compact([]string{md.Namespace, ""})`}},
		[]string{"32: "}},
	{"redirects-followed", "evidence: no redirect of a registry is followed but for layers to hosts that are listed", "each is",
		[]change{{transporting, `if req.URL.Host != t.host {`, `if false {`}, {transporting, `case !ofLayer(req):`, `case false:`}, {transporting, `case !slices.Contains(t.listed, hostOf(to)):`, `case false:`}},
		[]string{"40: "}},
	{"answers-endless", "evidence: an answer of a registry is read up to a limit", "it is read up to the library's",
		[]change{{fetching, `maxAnswer = 2 * evidence.MaxSize`, `maxAnswer = 1 << 30`}},
		[]string{"40: "}},
	{"slow-starves", "evidence: each namespace has its turns with registries", "whoever comes first has all",
		[]change{{sharing, `turnsEach = 4`, `turnsEach = 1000`}},
		[]string{"40: "}},
	{"verifier-unrecovered", "evidence: a verification that breaks down has found out nothing", "it takes the judgement with it",
		[]change{{verifying, "if cause := recover(); cause != nil {\n\t\t\ts, err", "if cause := any(nil); cause != nil {\n\t\t\ts, err"}},
		[]string{"42: "}},
	{"breakdown-unseen", "evidence: what breaks its reader may be about any model", "it is about none",
		[]change{{indexing, `if !ok {`, `if false && !ok {`}},
		[]string{"42: "}},
	{"judge-unrecovered", "`Attest`: a judgement that breaks down leaves it unknown", "it is not made",
		[]change{{attesting, `if r := recover(); r != nil {`, `if r := any(nil); r != nil {`}},
		[]string{"42: "}},
	{"inspector-unrecovered", "`violations`: a check that breaks down counts as broken", "it is not made",
		[]change{{inspecting, `if r := recover(); r != nil {`, `if r := any(nil); r != nil {`}},
		[]string{"42: "}},
	{"fallback-revoked", "`FallBack`: a fallback is cleared", "it need not be",
		[]change{{falling, `case !f.cleared():`, `case false:`}}, []string{"32: no fallback leads"}},
	{"fallback-chained", "`FallBack`: a fallback names none itself", "it may",
		[]change{{falling, `f.Name == in.Model.Name || f.Declaration.Spec.Fallback != nil`, `f.Name == in.Model.Name`}}, []string{"32: no fallback leads"}},
	{"fallback-without-consent", "`Turn`: what is turned names the model", "it need not",
		[]change{{turning, `!marked && !names[f.Model]`, `false && !names[f.Model]`}}, []string{"32: no fallback leads"}},
	{"fallback-forgotten", "`MayReturn`: not while pods run without clearance", "at any time",
		[]change{{falling, `model.cleared() || model.Admitted == 0`, `model.cleared() || model.Admitted >= 0`}}, []string{"8: no change of a declaration"}},
	{"weights-unseen", "pod rules: judged by what the model of the pod declares", "all that read it are met",
		[]change{{expressions, `"[%s].all(%s, %s)", declared`, `"[%s].all(%s, true || %s)", declared`}},
		[]string{"5: weights that", "17: ", "18: ", "19: "}},
	{"weights-of-others", "`declaredBy`: a line is one model's", "those of all models are looked at",
		[]change{{expressions, `fmt.Sprintf("%s.split(' ').filter(s, s != '')", lineOf(weightsKey, model))`, `"params.metadata.annotations['interlock.dev/weights'].split('\\n').join(' ').split(' ')"`}},
		[]string{"5: weights that"}},
	{"running-unjudged", "inspection: pods that run are judged by pod rules as well", "they are not",
		[]change{{compiling, `case result.Value() != true:`, `case result.Value() == nil:`}},
		[]string{"19: "}},
	{"edits-unseen", "surroundings: what is kept is as it was applied, to its version", "what is there will do",
		[]change{{keeping, `case r.applied.is(model, o, version{digest, have.UID, have.ResourceVersion}):`, `case have != nil:`}},
		[]string{"10: what is kept"}},
	{"conflicts-untold", "surroundings: what somebody else has set is told", "it counts as applied",
		[]change{{keeping, `return v1alpha1.ObjectConflict, "somebody`, `return v1alpha1.ObjectApplied, "somebody`}},
		[]string{"10: what is kept"}},
	{"refusals-untold", "surroundings: what the API server refuses is told", "it counts as applied",
		[]change{{keeping, `return v1alpha1.ObjectFailed, "the API server refuses`, `return v1alpha1.ObjectApplied, "the API server refuses`}},
		[]string{"10: what is kept"}},
	{"dollars-reread", "`expand`: what is filled in is not read again", "what stands for a dollar sign is",
		[]change{{filling, `text = after[1:]`, `text = after`}}, []string{"10: what is kept"}},
	{"own-names", "surroundings: no object bears a name of Interlock's own, or is taken over from others", "it may",
		[]change{{templates, `if strings.HasPrefix(name, reserved) {`, `if false {`}, {keeping, `case !ours(have, o.safeguard, model.Name):`, `case false:`}},
		[]string{"32: what a Safeguard puts"}},
	{"own-metadata", "`checkMetadata`: whose and where an object is, Interlock says", "the manifest says it",
		[]change{{templates, `return fmt.Errorf(".manifest.metadata.%s: only labels and annotations can be set; take it away", field)`, `continue`}}, []string{"32: what a Safeguard puts"}},
	{"own-labels", "`checkMetadata`: the labels of Interlock are its own", "a manifest may set them",
		[]change{{templates, `key == v1alpha1.ManagedByLabel || within(prefix, labelGroup)`, `key == v1alpha1.ManagedByLabel && within(prefix, labelGroup)`}}, []string{"32: what a Safeguard puts"}},
	{"keys-filled", "`fill`: a key holds no value", "it may",
		[]change{{filling, `if strings.Contains(key, "$(") {`, `if false {`}}, []string{"32: what a Safeguard puts"}},
}

// breakdowns make verifiers panic on what asks for it. They are laid over the tree like a mutant, for one spec.
var breakdowns = []change{
	{predicates, `if read := predicateOf(s.PredicateType).read; read != nil {`,
		"if at(s.Predicate, \"summary\") == \"break the verifier\" {\n\t\tpanic(\"on purpose\")\n\t}\n\tif read := predicateOf(s.PredicateType).read; read != nil {"},
	{attesting, `c, ok := m.candidates[a.Statement.Payload]`,
		"if a.Statement.Predicate[\"summary\"] == \"break the judge\" {\n\t\tpanic(\"on purpose\")\n\t}\n\tc, ok := m.candidates[a.Statement.Payload]"},
	{inspecting, `said := c.judge(pod, around)`,
		"if pod.Annotations[\"break\"] == \"the inspector\" {\n\t\tpanic(\"on purpose\")\n\t}\n\tsaid := c.judge(pod, around)"},
}

func mutantNamed(name string) (mutant, error) {
	i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == name })
	if i < 0 {
		return mutant{}, fmt.Errorf("no mutant %q", name)
	}
	return mutants[i], nil
}

// apply gives the files that the edits change, changed, by their path in the clone at root.
func apply(root string, edits []change) (map[string]string, error) {
	changed := map[string]string{}
	for _, c := range edits {
		content, ok := changed[c.file]
		if !ok {
			raw, err := os.ReadFile(filepath.Join(root, c.file))
			if err != nil {
				return nil, err
			}
			content = string(raw)
		}
		if n := strings.Count(content, c.old); n != 1 {
			return nil, fmt.Errorf("%s holds %d times, not once: %s", c.file, n, c.old)
		}
		changed[c.file] = strings.Replace(content, c.old, c.new, 1)
	}
	return changed, nil
}
