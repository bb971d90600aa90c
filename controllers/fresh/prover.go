package fresh

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/controllers/metrics"
	"github.com/interlock-dev/interlock/internal/admission"
)

const (
	// reuse is how long a proof serves whoever else asks for one: as a pass over many models does.
	reuse = 500 * time.Millisecond
	// trail is how often it is looked whether a watch stood still just as something was loosened.
	trail = time.Second
	// patience is how long a cache may be behind before its watch is taken to stand still.
	patience = 2 * time.Second
	// page is how many objects are read at once.
	page = 500
)

// ErrBehind says that a cache lacks something. That comes by itself within moments, or the watch is begun again.
var ErrBehind = errors.New("the operator has not seen yet what the API server holds")

// Watches are what a Prover ends when they stand still.
type Watches interface{ Cut(resource string) }

// Prover compares caches with the API server. Of each object it reads who it is and its version, and nothing else.
type Prover struct {
	// Cache reads what decisions are made by, and Live asks the API server.
	Cache client.Client
	Live  client.Reader
	// Watches fill the cache.
	Watches Watches
	// Install says which namespaces are never enrolled, and names that which serves all.
	Install admission.Install
	// Evidence is the namespace whose Attestations serve all.
	Evidence string
	Pulse    *Pulse

	mu     sync.Mutex
	scopes map[string]*scope
	// loosened says when a proof last served in a namespace that has not been proved since.
	loosened map[string]time.Time
	// late says since when caches are behind, by kind and namespace.
	late map[string]time.Time
}

// scope is what was proved together last: a namespace, or what all have in common.
type scope struct {
	mu    sync.Mutex
	proof Proof
}

// kind is one of those by which models are decided.
type kind struct {
	resource  string
	list      client.ObjectList
	namespace string
	// onlyLoosens says that such an object speaks for a model and never against it: where the cache holds none, none can
	// have been lost.
	onlyLoosens bool
}

// around gives those of a namespace. Pods are not among them: one that is not seen yet is not released, and a release names
// the version of the pod that was judged.
func around(namespace string) []kind {
	return []kind{
		{resource: "modeldeployments", list: &v1alpha1.ModelDeploymentList{}, namespace: namespace},
		{resource: "networkpolicies", list: &networkingv1.NetworkPolicyList{}, namespace: namespace},
		{resource: "approvals", list: &v1alpha1.ApprovalList{}, namespace: namespace, onlyLoosens: true},
		{resource: "waivers", list: &v1alpha1.WaiverList{}, namespace: namespace, onlyLoosens: true},
		{resource: "attestations", list: &v1alpha1.AttestationList{}, namespace: namespace, onlyLoosens: true},
	}
}

func (p *Prover) common() []kind {
	return []kind{
		{resource: "scalingpolicies", list: &v1alpha1.ScalingPolicyList{}},
		{resource: "safeguards", list: &v1alpha1.SafeguardList{}},
		{resource: "capabilityassessments", list: &v1alpha1.CapabilityAssessmentList{}},
		{resource: "riskreports", list: &v1alpha1.RiskReportList{}, onlyLoosens: true},
		{resource: "approvals", list: &v1alpha1.ApprovalList{}, namespace: p.Install.Namespace, onlyLoosens: true},
		{resource: "attestations", list: &v1alpha1.AttestationList{}, namespace: p.Evidence, onlyLoosens: true},
	}
}

// Run notices pauses, and looks back at what was loosened, until the context ends. A proof serves for a moment after it was
// made; a watch that came to stand still in that moment would go unnoticed for long otherwise.
func (p *Prover) Run(ctx context.Context) {
	go p.Pulse.Run(ctx)
	ticker := clock.RealClock{}.NewTicker(trail)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			p.lookBack(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// lookBack proves the namespaces anew in which something may have been loosened, until that succeeds. A proof that began before
// another one served there shows nothing of the time after.
func (p *Prover) lookBack(ctx context.Context) {
	p.mu.Lock()
	namespaces := slices.Collect(maps.Keys(p.loosened))
	p.mu.Unlock()
	for _, namespace := range namespaces {
		ctx, cancel := context.WithTimeout(ctx, patience)
		if proof, err := p.show(ctx, namespace); err == nil {
			p.mu.Lock()
			if proof.at.After(p.loosened[namespace]) {
				delete(p.loosened, namespace)
			}
			p.mu.Unlock()
		}
		cancel()
	}
}

// serves notes that a proof is handed out.
func (p *Prover) serves(namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loosened == nil {
		p.loosened = map[string]time.Time{}
	}
	p.loosened[namespace] = p.Pulse.clock.Now()
}

// Prove shows that the caches hold all by which the models of a namespace are decided. ErrBehind says that they do not.
func (p *Prover) Prove(ctx context.Context, namespace string) (Proof, error) {
	proof, err := p.show(ctx, namespace)
	if err == nil {
		p.serves(namespace)
	}
	return proof, err
}

func (p *Prover) show(ctx context.Context, namespace string) (Proof, error) {
	proof, err := p.prove(namespace, func() error {
		enforced, err := p.namespace(ctx, namespace)
		if err != nil || !enforced {
			return err
		}
		return p.compare(ctx, around(namespace))
	})
	if err != nil {
		return Proof{}, err
	}
	all, err := p.prove("", func() error { return p.compare(ctx, p.common()) })
	return proof.older(all), err
}

// Last gives the proof that was made last for a namespace, while it is young. It asks nobody.
func (p *Prover) Last(namespace string) Proof {
	proof, all := p.last(namespace), p.last("")
	if !proof.within(reuse) || !all.within(reuse) {
		return Proof{}
	}
	p.serves(namespace)
	return proof.older(all)
}

func (p *Prover) last(name string) Proof {
	p.mu.Lock()
	s, ok := p.scopes[name]
	p.mu.Unlock()
	if !ok || !s.mu.TryLock() {
		return Proof{}
	}
	defer s.mu.Unlock()
	return s.proof
}

// prove gives the last proof of a scope while it is young, or else makes one. Whoever asks meanwhile waits for that.
func (p *Prover) prove(name string, show func() error) (Proof, error) {
	s := p.scope(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proof.within(reuse) {
		return s.proof, nil
	}
	proof := p.Pulse.Begin()
	if err := show(); err != nil {
		return Proof{}, err
	}
	s.proof = proof
	return proof, nil
}

// scope gives one, and lets go of those that nobody has asked for lately.
func (p *Prover) scope(name string) *scope {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.scopes[name]; ok {
		return s
	}
	if p.scopes == nil {
		p.scopes = map[string]*scope{}
	}
	for old, s := range p.scopes {
		if s.mu.TryLock() {
			if !s.proof.within(reuse) {
				delete(p.scopes, old)
			}
			s.mu.Unlock()
		}
	}
	s := &scope{}
	p.scopes[name] = s
	return s
}

// namespace proves what is known of a namespace itself, and says whether a policy is enforced there.
func (p *Prover) namespace(ctx context.Context, name string) (enforced bool, err error) {
	live, err := readNamespace(ctx, p.Live, name)
	if err != nil {
		return false, err
	}
	cached, err := readNamespace(ctx, p.Cache, name)
	if err != nil {
		return false, err
	}
	_, enforced = p.Install.Enforced(cached)
	if cached.UID != live.UID || older(cached.ResourceVersion, live.ResourceVersion) {
		return enforced, p.behind(ctx, "namespaces", name)
	}
	p.current("namespaces", name)
	return enforced, nil
}

// readNamespace gives an empty one for a namespace that does not exist.
func readNamespace(ctx context.Context, from client.Reader, name string) (*metav1.PartialObjectMetadata, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := from.Get(ctx, client.ObjectKey{Name: name}, ns); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("get namespace: %w", err)
	}
	return ns, nil
}

// compare proves some kinds at the same time.
func (p *Prover) compare(ctx context.Context, kinds []kind) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, k := range kinds {
		group.Go(func() error { return p.compareKind(ctx, k) })
	}
	return group.Wait()
}

func (p *Prover) compareKind(ctx context.Context, k kind) error {
	if k.onlyLoosens {
		if known, err := p.cached(ctx, k); err != nil || len(known) == 0 {
			return err
		}
	}
	live, err := p.live(ctx, k)
	if err != nil {
		return err
	}
	known, err := p.cached(ctx, k) // after the other, so that the cache may be ahead of it
	if err != nil {
		return err
	}
	if live.lacking(known) {
		return p.behind(ctx, k.resource, k.namespace)
	}
	p.current(k.resource, k.namespace)
	return nil
}

// behind notes that a cache lacks something, and ends its watch if that lasts.
func (p *Prover) behind(ctx context.Context, resource, namespace string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, now := resource+"/"+namespace, p.Pulse.clock.Now()
	since, ok := p.late[key]
	switch {
	case p.late == nil:
		p.late = map[string]time.Time{key: now}
	case !ok:
		p.late[key] = now
	case now.Sub(since) > patience:
		log.FromContext(ctx).Info("A watch stands still, and is begun again: nothing was loosened by what it had brought", "resource", resource)
		metrics.WatchesCut.WithLabelValues(resource).Inc()
		p.Watches.Cut(resource)
		p.late[key] = now
	}
	return fmt.Errorf("%s: %w", resource, ErrBehind)
}

func (p *Prover) current(resource, namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.late, resource+"/"+namespace)
}

// id tells an object from its namesakes.
type id struct {
	namespace, name string
	uid             types.UID
}

// versions are those of objects.
type versions map[id]string

// state is what the API server holds of a kind.
type state struct {
	versions
	// at is the version of the whole.
	at string
}

// lacking says whether a cache has not seen all of it: it lacks an object, has an older one, or has one that is gone.
// What came later does not count.
func (s state) lacking(cached versions) bool {
	for o, version := range s.versions {
		if have, ok := cached[o]; !ok || older(have, version) {
			return true
		}
	}
	for o, version := range cached {
		if _, there := s.versions[o]; !there && (s.at == version || older(version, s.at)) {
			return true
		}
	}
	return false
}

// older says whether one version comes before another, or that cannot be told.
func older(one, other string) bool {
	order, err := resourceversion.CompareResourceVersion(one, other)
	return one != other && (err != nil || order < 0)
}

func (p *Prover) cached(ctx context.Context, k kind) (versions, error) {
	list, ok := k.list.DeepCopyObject().(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%T is no list", k.list)
	}
	if err := p.Cache.List(ctx, list, client.InNamespace(k.namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list %s: %w", k.resource, err)
	}
	return read(list, versions{})
}

func (p *Prover) live(ctx context.Context, k kind) (state, error) {
	gvk, err := p.Cache.GroupVersionKindFor(k.list)
	if err != nil {
		return state{}, err
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(gvk)
	s := state{versions: versions{}}
	for {
		if err := p.Live.List(ctx, list, client.InNamespace(k.namespace), client.Limit(page), client.Continue(list.Continue)); err != nil {
			return state{}, fmt.Errorf("list %s: %w", k.resource, err)
		}
		s.at = list.ResourceVersion
		if _, err := read(list, s.versions); err != nil || list.Continue == "" {
			return s, err
		}
	}
}

func read(list client.ObjectList, into versions) (versions, error) {
	return into, meta.EachListItem(list, func(item runtime.Object) error {
		o, err := meta.Accessor(item)
		if err == nil {
			into[id{o.GetNamespace(), o.GetName(), o.GetUID()}] = o.GetResourceVersion()
		}
		return err
	})
}
