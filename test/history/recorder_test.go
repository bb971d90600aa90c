package history

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/interlock-dev/interlock/api/v1alpha1"
	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/safeguard"
	"github.com/interlock-dev/interlock/test/history/check"
)

// recorder writes down what etcd takes, in its own order. It asks etcd and not an API server, so that it misses nothing when
// one of these is restarted, and believes no copy.
type recorder struct {
	url     string
	tenants map[string]bool

	mu     sync.Mutex
	events []check.Event
	// standing is what was last told of each model's clearance.
	standing map[string]admission.Standing
	next     int64
}

func newRecorder(url string, tenants []string) *recorder {
	r := &recorder{url: url, tenants: map[string]bool{}, standing: map[string]admission.Standing{}, next: 1}
	for _, t := range tenants {
		r.tenants[t] = true
	}
	return r
}

// answer is one line of etcd's answer to a watch. Numbers are texts, and bytes are in base64.
type answer struct {
	Result struct {
		Canceled bool   `json:"canceled"`
		Reason   string `json:"cancel_reason"`
		Events   []struct {
			Type     string   `json:"type"`
			Now      keyValue `json:"kv"`
			Previous keyValue `json:"prev_kv"`
		} `json:"events"`
	} `json:"result"`
}

type keyValue struct {
	Key      []byte `json:"key"`
	Value    []byte `json:"value"`
	Revision string `json:"mod_revision"`
}

// run follows etcd until the context ends, over its restarts.
func (r *recorder) run(ctx context.Context, failed func(error)) {
	for ctx.Err() == nil {
		if err := r.watch(ctx); err != nil {
			failed(err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// watch returns an error if something is lost, and none if the connection is.
func (r *recorder) watch(ctx context.Context) error {
	ask, err := json.Marshal(map[string]any{"create_request": map[string]any{
		"key": base64.StdEncoding.EncodeToString([]byte("/registry/")), "range_end": base64.StdEncoding.EncodeToString([]byte("/registry0")),
		"start_revision": strconv.FormatInt(r.next, 10), "prev_kv": true}})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v3/watch", bytes.NewReader(ask))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil
	}
	for lines := json.NewDecoder(response.Body); ; {
		var a answer
		if err := lines.Decode(&a); err != nil {
			return nil
		}
		if a.Result.Canceled {
			return fmt.Errorf("etcd ended the watch from revision %d: %s", r.next, a.Result.Reason)
		}
		for _, e := range a.Result.Events {
			revision, err := strconv.ParseInt(e.Now.Revision, 10, 64)
			if err != nil {
				return fmt.Errorf("revision of %s: %w", e.Now.Key, err)
			}
			value, there := e.Now.Value, e.Type != "DELETE"
			if !there {
				value = e.Previous.Value
			}
			if err := r.note(revision, string(e.Now.Key), value, there); err != nil {
				return fmt.Errorf("%s at revision %d: %w", e.Now.Key, revision, err)
			}
			r.next = revision + 1
		}
	}
}

// note writes down one change of an object of a tenant.
func (r *recorder) note(revision int64, key string, value []byte, there bool) error {
	parts := strings.Split(key, "/")
	if len(parts) < 5 || !r.tenants[parts[len(parts)-2]] || len(value) == 0 {
		return nil
	}
	resource, namespace := parts[len(parts)-3], parts[len(parts)-2]
	e := check.Event{Revision: revision, At: time.Now(), There: there}
	o, err := decode(resource, value)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch o := o.(type) {
	case *corev1.Pod:
		e.Kind, e.Model, e.Name = check.Pod, namespace+"/"+o.Labels[v1alpha1.ModelLabel], o.Name+" "+string(o.UID)
		e.Gated, e.Leaving = safeguard.Held(o), o.DeletionTimestamp != nil
		r.events = append(r.events, e)
	case *networkingv1.NetworkPolicy:
		if o.Name == causeName {
			r.cause(e, namespace, needy, limitsCause)
		}
	case *v1alpha1.ModelDeployment:
		r.cause(e, namespace, o.Name, declaredCause)
	case *v1alpha1.Approval:
		r.cause(e, namespace, signed, approvalCause(o.Name))
	case *corev1.LimitRange:
		if o.Name == v1alpha1.ClearancesName {
			r.clearances(e, namespace, o.Annotations)
		}
	}
	return nil
}

// decode gives an object of a kind that matters, and none of others.
func decode(resource string, value []byte) (runtime.Object, error) {
	var custom runtime.Object
	switch resource {
	case "pods", "networkpolicies", "limitranges":
		o, _, err := clientgoscheme.Codecs.UniversalDeserializer().Decode(value, nil, nil)
		return o, err
	case "modeldeployments":
		custom = &v1alpha1.ModelDeployment{}
	case "approvals":
		custom = &v1alpha1.Approval{}
	default:
		return nil, nil
	}
	return custom, json.Unmarshal(value, custom)
}

// cause writes down that something that a model needs came, is still there or went.
func (r *recorder) cause(e check.Event, namespace, model, name string) {
	e.Kind, e.Model, e.Name = check.Cause, namespace+"/"+model, name
	r.events = append(r.events, e)
}

// clearances writes down for which models a clearance came, changed or went.
func (r *recorder) clearances(e check.Event, namespace string, data map[string]string) {
	for _, model := range models {
		key := types.NamespacedName{Namespace: namespace, Name: model}.String()
		var now admission.Standing
		if e.There {
			now = admission.Find(data, model)
		}
		if before := r.standing[key]; now.Cleared() == before.Cleared() && now.ValidUntil.Equal(before.ValidUntil) {
			continue
		}
		r.standing[key] = now
		c := e
		c.Kind, c.Model, c.There, c.Until = check.Clearance, key, now.Cleared(), now.ValidUntil
		r.events = append(r.events, c)
	}
}

func (r *recorder) history() []check.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]check.Event(nil), r.events...)
}
