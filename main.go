// Command manager is the Interlock operator.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers"
	"github.com/interlock-dev/interlock/controllers/attestation"
	"github.com/interlock-dev/interlock/controllers/fresh"
	"github.com/interlock-dev/interlock/controllers/record"
	"github.com/interlock-dev/interlock/internal/admission"
	decisionrecord "github.com/interlock-dev/interlock/internal/record"
	"github.com/interlock-dev/interlock/internal/tenancy"
	"github.com/interlock-dev/interlock/internal/workload"
)

type config struct {
	metricsAddress, probeAddress, profileAddress string
	leaderElect                                  bool
	namespace, serviceAccount                    string
	credentialExtra                              string
	recordDir, recordKey, recordKeyMount         string
	workloadKinds                                string
	evidenceNamespace, evidenceRegistries        string
	evidenceBlobHosts, evidenceCredentials       string
	evidenceRefresh                              time.Duration
	memoryLimit                                  int64
	log                                          zap.Options
}

// How long it takes until another manager leads when the leader has died without a word. Meanwhile nothing is lost: what
// is not cleared stays held, and what is cleared scales until its lease ends. But a safeguard that is lost is noticed
// only after that, so this is shorter than the usual 15 seconds. It is not shorter still because a leader that cannot
// renew for renewDeadline ends, and an API server that restarts should not cost us the process too.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 8 * time.Second
	retryPeriod   = 2 * time.Second
)

// gcPercent is lower than the usual 100: the operator is idle most of the time, and what it holds counts more than the
// processor time of collecting it.
const gcPercent = 30

func main() {
	var c config
	c.bind(flag.CommandLine)
	flag.Parse()
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&c.log)))

	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if err := run(ctrl.SetupSignalHandler(), c); err != nil {
		ctrl.Log.Error(err, "Manager ended")
		os.Exit(1)
	}
}

func (c *config) bind(flags *flag.FlagSet) {
	flags.StringVar(&c.metricsAddress, "metrics-bind-address", ":8080", "Address that serves metrics; 0 for none.")
	flags.StringVar(&c.probeAddress, "health-probe-bind-address", ":8081", "Address that serves /healthz and /readyz.")
	flags.StringVar(&c.profileAddress, "pprof-bind-address", "0", "Address that serves profiles to whoever asks; 0 for none.")
	flags.BoolVar(&c.leaderElect, "leader-elect", true, "Let only one of several managers act at a time.")
	flags.StringVar(&c.namespace, "namespace", "interlock-system", "Namespace of the operator, which can never be enrolled.")
	flags.StringVar(&c.credentialExtra, "credential-extra", admission.DefaultCredential, "Key of a user's extra in which the authenticator notes the credential: an approval without one is refused, since it may be impersonated.")
	flags.StringVar(&c.serviceAccount, "service-account", "interlock-controller-manager", "ServiceAccount of the operator: the one user that may write verdicts.")
	flags.StringVar(&c.recordDir, "record-dir", "/var/lib/interlock/record", "Folder of the decision record, on a volume that outlives the operator. No model is cleared while it cannot be written.")
	flags.StringVar(&c.recordKey, "record-key", "/var/lib/interlock/record.key", "File with the key that signs the decision record's checkpoints; made if it does not exist.")
	flags.StringVar(&c.recordKeyMount, "record-key-mount", "", "Folder into which a Secret may be mounted that holds this key as record.key; if it does, --record-key is not looked at.")
	flags.StringVar(&c.workloadKinds, "workload-kinds", "", "File that says how further kinds of workload are stopped (docs/workloads.md); it wins over what is built in.")
	flags.StringVar(&c.evidenceNamespace, "evidence-namespace", "interlock-evidence", "Namespace whose Attestations serve the models of all namespaces.")
	flags.StringVar(&c.evidenceRegistries, "evidence-registries", "", "Registries, by HOST or HOST:PORT and with commas between, from which Attestations may have evidence fetched; none by default.")
	flags.StringVar(&c.evidenceBlobHosts, "evidence-blob-hosts", "", "Further hosts, by HOST or HOST:PORT and with commas between, to which these registries may redirect for layers.")
	flags.StringVar(&c.evidenceCredentials, "evidence-credentials", "", "File with credentials for these registries, as in a Secret of type kubernetes.io/dockerconfigjson; without it they are asked anonymously.")
	flags.DurationVar(&c.evidenceRefresh, "evidence-refresh", 10*time.Minute, "How often it is looked up in a registry what refers to the subject of an Attestation. What was found counts for three times that without having been found again.")
	flags.Int64Var(&c.memoryLimit, "memory-limit", 0, "Memory limit of the container in bytes. By it, or by 512 MiB where there is none, is bounded what is held of tenants' objects; and the garbage collector keeps below nine tenths of it, unless GOMEMLIMIT says otherwise.")
	c.log.BindFlags(flags)
}

func run(ctx context.Context, c config) error {
	kinds, err := workload.LoadKinds(c.workloadKinds)
	if err != nil {
		return err
	}
	if c.evidenceRefresh < time.Second {
		return fmt.Errorf("--evidence-refresh=%s: registries would be asked all the time; give at least 1s", c.evidenceRefresh)
	}
	shares := c.shares()
	rest, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	rest.QPS = -1 // the API server's priority and fairness decides, which knows its load; a queue of ours would delay revocations
	transport := fresh.NewTransport(rest)
	options := ctrl.Options{
		Scheme:                        scheme(),
		Cache:                         cacheOptions(shares),
		Metrics:                       metricsserver.Options{BindAddress: c.metricsAddress},
		HealthProbeBindAddress:        c.probeAddress,
		PprofBindAddress:              c.profileAddress,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(leaseDuration),
		RenewDeadline:                 new(renewDeadline),
		RetryPeriod:                   new(retryPeriod),
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var lead *fresh.Lead
	if c.leaderElect {
		if lead, err = fresh.NewLead(rest, c.namespace, "manager.interlock.dev", leaseDuration, renewDeadline/2, end); err != nil {
			return err
		}
		options.LeaderElection, options.LeaderElectionResourceLockInterface = true, lead
	}
	mgr, err := ctrl.NewManager(rest, options)
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	install := admission.Install{
		Namespace: c.namespace, Username: fmt.Sprintf("system:serviceaccount:%s:%s", c.namespace, c.serviceAccount), Credential: c.credentialExtra}
	recorder := record.NewRecorder(&record.Files{Dir: c.recordDir, Mounted: c.recordKeyMount, Key: c.recordKey}, verifier(install), transport.Clock, lead.Holds)
	evidence := controllers.Evidence{Namespace: c.evidenceNamespace, Refresh: c.evidenceRefresh, Registries: attestation.Registries{
		Allowed: listed(c.evidenceRegistries), BlobHosts: listed(c.evidenceBlobHosts), Credentials: c.evidenceCredentials}}
	if err := controllers.SetupAll(ctx, mgr, install, recorder, kinds, evidence, transport, lead, shares); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := mgr.Start(ctx); err != nil {
		return err
	}
	if err := context.Cause(ctx); errors.Is(err, fresh.ErrDeposed) {
		return err
	}
	return nil
}

// listed gives what stands between commas.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

// verifier is who decides, as the decision record names it.
func verifier(install admission.Install) decisionrecord.Verifier {
	v := decisionrecord.Verifier{ID: install.Username}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
	}
	return v
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// defaultMemory is the limit that config/manager sets, for a process that is not told any.
const defaultMemory = 512 << 20

// shares bounds what is held of tenants' objects by the memory limit, and lets the garbage collector work harder as that comes near.
func (c *config) shares() *tenancy.Shares {
	limit := c.memoryLimit
	switch {
	case limit <= 0:
		limit = defaultMemory
	case os.Getenv("GOMEMLIMIT") == "":
		debug.SetMemoryLimit(limit / 10 * 9)
	}
	return tenancy.NewShares(limit/heldPart, c.namespace, c.evidenceNamespace)
}

// heldPart is the part of the memory limit that may be taken by what is held of tenants' objects. The rest is for what is ours,
// for what is being read and judged, and for the garbage collector.
const heldPart = 5

// cacheOptions keep memory to what we manage: pods that name a model, policies that are ours, and of LimitRanges only clearances,
// since no others may be read. Of what tenants write there is held what their shares have room for.
func cacheOptions(shares *tenancy.Shares) cache.Options {
	named, err := labels.NewRequirement(v1alpha1.ModelLabel, selection.Exists, nil)
	utilruntime.Must(err)
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{v1alpha1.ManagedByLabel: v1alpha1.ManagedBy})}
	clearances := cache.ByObject{Field: fields.OneTermEqualSelector(metav1.ObjectNameField, v1alpha1.ClearancesName)}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                                   {Label: labels.NewSelector().Add(*named), Transform: cut(shares.Pod)},
			&v1alpha1.Attestation{}:                         {Transform: cut(shares.Attestation)},
			&v1alpha1.ModelDeployment{}:                     {Transform: cut(tenancy.Trim)},
			&v1alpha1.Approval{}:                            {Transform: cut(tenancy.Trim)},
			&v1alpha1.Waiver{}:                              {Transform: cut(tenancy.Trim)},
			&networkingv1.NetworkPolicy{}:                   {Transform: cut(shares.NetworkPolicy)},
			&corev1.LimitRange{}:                            clearances,
			&admissionv1.MutatingAdmissionPolicy{}:          ours,
			&admissionv1.MutatingAdmissionPolicyBinding{}:   ours,
			&admissionv1.ValidatingAdmissionPolicy{}:        ours,
			&admissionv1.ValidatingAdmissionPolicyBinding{}: ours,
		},
	}
}

// cut makes of what changes an object in place what changes it on its way into the cache.
func cut[T metav1.Object](in func(T)) func(any) (any, error) {
	return func(o any) (any, error) {
		if t, ok := o.(T); ok {
			in(t)
		}
		return o, nil
	}
}
