package workload

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// GatewayGroup is the group of HTTPRoutes.
const GatewayGroup = "gateway.networking.k8s.io"

// TurnService says that a Service is to pick pods of a fallback, of those that bear some labels.
func TurnService(namespace, name, fallback string, labels map[string]string) Turning {
	return Turning{Ref: Ref{Kind: "Service", Namespace: namespace, Name: name}, Selector: SelectorOf(fallback, labels)}
}

// SelectorOf picks the pods of one model, of those that bear some labels. The label of the model is frozen once a pod
// exists, so it never picks a pod of another.
func SelectorOf(model string, labels map[string]string) map[string]string {
	selector := map[string]string{}
	maps.Copy(selector, labels)
	selector[v1alpha1.ModelLabel] = model
	return selector
}

// TurnRoute says that Services are to take the place of others in an HTTPRoute.
func TurnRoute(namespace, name string, backends []v1alpha1.FallbackBackend) Turning {
	t := Turning{Ref: Ref{Group: GatewayGroup, Kind: "HTTPRoute", Namespace: namespace, Name: name}, Backends: map[string]string{}}
	for _, b := range backends {
		t.Backends[b.Service] = b.FallbackService
	}
	return t
}

// field is what leads clients.
func (t Turning) field() []string {
	if t.Kind == "Service" {
		return []string{"spec", "selector"}
	}
	return []string{"spec", "rules"}
}

// leads says whether a value of the field leads to the fallback.
func (t Turning) leads(value any) bool {
	if t.Kind == "Service" {
		selector, _ := value.(map[string]any)
		return text(selector, v1alpha1.ModelLabel) == t.Selector[v1alpha1.ModelLabel]
	}
	from, to := false, false
	t.eachBackend(value, func(_ map[string]any, service string) {
		_, replaced := t.Backends[service]
		from = from || replaced
		to = to || slices.Contains(slices.Collect(maps.Values(t.Backends)), service)
	})
	return to && !from
}

// apply gives the value of the field that leads to the fallback, or says why there is none.
func (t Turning) apply(former any) (value any, why string) {
	if t.Kind == "Service" {
		if selector, ok := former.(map[string]any); !ok || len(selector) == 0 {
			return nil, "it has no selector, so its endpoints are somebody else's"
		}
		return stringMap(t.Selector), ""
	}
	value, n := t.rename(former, t.Backends)
	if n == 0 {
		return nil, "none of its backendRefs is a Service of spec.fallback: " + strings.Join(slices.Sorted(maps.Keys(t.Backends)), ", ")
	}
	return value, ""
}

// undo gives the value of the field that leads to the model again: the former one, unless somebody has changed the field so
// that it leads elsewhere. An edit of other parts of a route stays, if it can be told which Services stood there before.
func (t Turning) undo(now, former any) any {
	applied, why := t.apply(former)
	switch {
	case why != "" || !t.leads(now):
		return now
	case reflect.DeepEqual(now, applied):
		return former
	}
	back := map[string]string{}
	ambiguous := t.Kind == "Service"
	for service, fallback := range t.Backends {
		_, twice := back[fallback]
		ambiguous = ambiguous || twice
		back[fallback] = service
	}
	t.eachBackend(former, func(_ map[string]any, service string) { ambiguous = ambiguous || back[service] != "" })
	if ambiguous {
		return former
	}
	value, _ := t.rename(now, back)
	return value
}

// rename gives the rules of a route with other Services, and how many it has replaced.
func (t Turning) rename(rules any, names map[string]string) (renamed any, n int) {
	renamed = runtime.DeepCopyJSONValue(rules)
	t.eachBackend(renamed, func(ref map[string]any, service string) {
		if to, ok := names[service]; ok {
			ref["name"] = to
			n++
		}
	})
	return renamed, n
}

// eachBackend goes through the backendRefs of a route that are Services of its namespace.
func (t Turning) eachBackend(rules any, do func(ref map[string]any, service string)) {
	for _, rule := range items(rules) {
		for _, ref := range items(rule["backendRefs"]) {
			if text(ref, "group") == "" && slices.Contains([]string{"", "Service"}, text(ref, "kind")) &&
				slices.Contains([]string{"", t.Namespace}, text(ref, "namespace")) {
				do(ref, text(ref, "name"))
			}
		}
	}
}

// items gives those of a list that are objects.
func items(list any) []map[string]any {
	var all []map[string]any
	values, _ := list.([]any)
	for _, v := range values {
		if o, ok := v.(map[string]any); ok {
			all = append(all, o)
		}
	}
	return all
}

func text(o map[string]any, key string) string {
	s, _ := o[key].(string)
	return s
}

func stringMap(m map[string]string) map[string]any {
	values := make(map[string]any, len(m))
	for k, v := range m {
		values[k] = v
	}
	return values
}

// replacing gives what a merge patch has to say so that one value takes the place of another: a map would be merged.
func replacing(old, value any) any {
	was, ok1 := old.(map[string]any)
	is, ok2 := value.(map[string]any)
	if !ok1 || !ok2 {
		return value
	}
	patch := maps.Clone(is)
	for k := range was {
		if _, stays := is[k]; !stays {
			patch[k] = nil
		}
	}
	return patch
}
