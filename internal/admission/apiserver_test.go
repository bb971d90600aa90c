package admission_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiadmission "k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/admission/inprocess"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

// apiServer judges requests as the API server does, in process.
type apiServer struct {
	policies  *inprocess.Policies
	namespace *corev1.Namespace
	params    map[string]admission.Object
	now       time.Time
	// before137 shows objects to CEL as API servers before 1.37 do.
	before137 bool
	// allowed are the checks that the authorizer answers with yes, as "user verb resource/name".
	allowed []string
}

// request is what somebody asks of the API server.
type request struct {
	user         string
	impersonated bool // so there is no credential in the user's extra
	operation    apiadmission.Operation
	resource     schema.GroupVersionResource
	subresource  string
	dryRun       bool
	object, old  runtime.Object
}

// answer is what comes of it. A request is allowed if it was denied by nobody.
type answer struct {
	object   runtime.Object
	denials  []string
	warnings []string
	audits   []string
}

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		panic(err)
	}
	return s
}()

var (
	install = admission.Install{Username: "system:serviceaccount:interlock-system:interlock", Namespace: "interlock-system"}
	base    = sync.OnceValue(func() *environment.EnvSet {
		return environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	})
	// compiler compiles the policies of all tests, each once.
	compiler = sync.OnceValue(inprocess.NewCompiler)
)

// newAPIServer has one namespace, "serving", with these labels.
func newAPIServer(t testing.TB, objects []admission.Object, namespaceLabels map[string]string) *apiServer {
	t.Helper()
	namespace := builder.Namespace("serving").Label(corev1.LabelMetadataName, "serving")
	for key, value := range namespaceLabels {
		namespace.Label(key, value)
	}
	policies, err := compiler().Compile(objects)
	if err != nil {
		t.Fatal(err)
	}
	return &apiServer{
		policies:  policies,
		namespace: namespace.Build(),
		params:    map[string]admission.Object{},
		now:       time.Date(2026, 5, 14, 8, 10, 0, 0, time.UTC),
	}
}

func (s *apiServer) put(param admission.Object) *apiServer {
	s.params[param.GetName()] = param
	return s
}

// failing is what a test or a drawn case of one can do.
type failing interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// serve does what the API server does with a request, from mutation to judgement.
func (s *apiServer) serve(t failing, r request) answer {
	t.Helper()
	server := &inprocess.Server{Policies: s.policies, Scheme: scheme, Namespace: s.namespace, Params: s.params, Now: s.now,
		Authorizer: s, Before137: s.before137}
	a, err := server.Serve(inprocess.Request{User: userOf(r), Operation: r.operation, Resource: r.resource, Subresource: r.subresource,
		DryRun: r.dryRun, Object: r.object, Old: r.old})
	if err != nil {
		t.Fatal(err)
	}
	return answer{object: a.Object, denials: texts(a.Denials), warnings: texts(a.Warnings), audits: texts(a.Audits)}
}

func texts(messages []inprocess.Message) (all []string) {
	for _, m := range messages {
		all = append(all, m.String())
	}
	return all
}

func userOf(r request) user.Info {
	info := &user.DefaultInfo{Name: r.user}
	if !r.impersonated {
		info.UID, info.Extra = "uid-of-"+r.user, map[string][]string{admission.DefaultCredential: {"X509SHA256=" + r.user}}
	}
	return info
}

// Authorize lets a test say what a user may do.
func (s *apiServer) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if slices.Contains(s.allowed, fmt.Sprintf("%s %s %s/%s", a.GetUser().GetName(), a.GetVerb(), a.GetResource(), a.GetName())) {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}
