package egress

import (
	"fmt"
	"slices"
	"sync"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	apitypes "k8s.io/apimachinery/pkg/types"
)

// Unread is the annotation of a NetworkPolicy that stands for one which is not held in memory, and says why: the one that our API
// types call UnreadAnnotation. What such a policy allows is not known, so it counts as if it selected every pod and allowed all.
const Unread = "interlock.dev/unread"

const (
	// maxTold is the most that is told of one policy.
	maxTold = 20
	// maxSelector is the most requirements and values of a selector that are looked at.
	maxSelector = 1000
	// maxReadings is about how many bytes of readings a generation holds; two are kept.
	maxReadings = 8 << 20
)

// reading is what there is to know of one NetworkPolicy under one rule, whichever pod it is about.
type reading struct {
	selector labels.Selector
	// wrong says why the selector cannot be read.
	wrong error
	// faults are what is wrong with what the policy allows.
	faults []string
}

// readings keeps what was read, so that a policy is judged once and not for each model and pod of its namespace. What is used
// moves to the young generation; when that is full, the old one is dropped. It is safe for concurrent use.
type readings struct {
	mu         sync.Mutex
	young, old map[version]*reading
	size       int
}

// version identifies what a policy says.
type version struct {
	uid        apitypes.UID
	generation int64
}

// read reads a policy, unless that was done before. What was not served by an API server has no identity and is not kept.
func (r Rule) read(policy *networkingv1.NetworkPolicy) *reading {
	key := version{policy.UID, policy.Generation}
	if r.readings == nil || key.uid == "" || key.generation == 0 {
		return r.readAnew(policy)
	}
	if known := r.readings.get(key); known != nil {
		return known
	}
	made := r.readAnew(policy)
	r.readings.keep(key, made)
	return made
}

func (r Rule) readAnew(policy *networkingv1.NetworkPolicy) *reading {
	selector, err := parseSelector(&policy.Spec.PodSelector)
	return &reading{selector: selector, wrong: err, faults: bounded(policy.Name, r.judgeRules(nameOf(policy), policy.Spec.Egress))}
}

func nameOf(policy *networkingv1.NetworkPolicy) string {
	return "NetworkPolicy " + quote(policy.Name, maxName)
}

// bounded tells no more of one policy than somebody would read.
func bounded(name string, faults []string) []string {
	if len(faults) <= maxTold {
		return faults
	}
	slices.Sort(faults)
	told := slices.Clone(faults[:maxTold]) // which lets go of the rest
	return append(told, fmt.Sprintf("NetworkPolicy %s breaks the rule in %d more places", quote(name, maxName), len(faults)-maxTold))
}

func (r *readings) get(key version) *reading {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.young[key]; ok {
		return known
	}
	known, ok := r.old[key]
	if ok {
		r.put(key, known)
	}
	return known
}

func (r *readings) keep(key version, made *reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(key, made)
}

func (r *readings) put(key version, made *reading) {
	size := made.size()
	if r.size += size; r.young == nil || r.size > maxReadings {
		r.young, r.old, r.size = map[version]*reading{}, r.young, size
	}
	r.young[key] = made
}

// size is about how many bytes a reading takes.
func (r *reading) size() int {
	size := 500
	for _, fault := range r.faults {
		size += len(fault)
	}
	if r.selector != nil {
		requirements, _ := r.selector.Requirements()
		for i := range requirements {
			size += 200 + 100*len(requirements[i].ValuesUnsorted())
		}
	}
	return size
}
