package fair

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func request(name string) reconcile.Request {
	namespace, name, _ := strings.Cut(name, "/")
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// served takes requests, each done before the next is taken, until none waits.
func served(q *queue) (order []string) {
	for q.Len() > 0 {
		req, _ := q.Get()
		order = append(order, req.String())
		q.Done(req)
	}
	return order
}

func TestNamespacesTakeTurns(t *testing.T) {
	for name, tc := range map[string]struct {
		add, urgent, want []string
	}{
		"one namespace, in order":    {add: []string{"a/1", "a/2", "a/3"}, want: []string{"a/1", "a/2", "a/3"}},
		"a flood delays none":        {add: []string{"a/1", "a/2", "a/3", "b/1", "c/1"}, want: []string{"a/1", "b/1", "c/1", "a/2", "a/3"}},
		"once, however often added":  {add: []string{"a/1", "b/1", "a/1", "a/1"}, want: []string{"a/1", "b/1"}},
		"no namespace":               {add: []string{"/x", "/y"}, want: []string{"/x", "/y"}},
		"what is urgent goes first":  {add: []string{"a/1", "a/2", "b/1"}, urgent: []string{"b/1"}, want: []string{"b/1", "a/1", "a/2"}},
		"also within its namespace":  {add: []string{"a/1", "a/2"}, urgent: []string{"a/2"}, want: []string{"a/2", "a/1"}},
		"a flood of it takes turns":  {add: []string{"a/1", "a/2", "b/1"}, urgent: []string{"a/1", "a/2", "b/1"}, want: []string{"a/1", "b/1", "a/2"}},
		"and does not starve others": {add: []string{"a/1", "a/2", "a/3", "a/4", "b/1"}, urgent: []string{"a/1", "a/2", "a/3", "a/4"}, want: []string{"a/1", "a/2", "a/3", "b/1", "a/4"}},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue(1, func(req reconcile.Request) bool {
				for _, u := range tc.urgent {
					if request(u) == req {
						return true
					}
				}
				return false
			})
			for _, a := range tc.add {
				q.Add(request(a))
			}
			if diff := cmp.Diff(tc.want, served(q)); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOneNamespaceDoesNotTakeAllWorkers(t *testing.T) {
	q := newQueue(2, nil)
	for i := range 10 {
		q.Add(request(fmt.Sprint("a/", i)))
	}
	q.Add(request("b/0"))
	var got []string
	for range 3 {
		req, _ := q.Get()
		got = append(got, req.String())
	}
	if diff := cmp.Diff([]string{"a/0", "b/0", "a/1"}, got); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	more := make(chan reconcile.Request)
	go func() { // waits, since two requests of a are being worked on
		req, _ := q.Get()
		more <- req
	}()
	q.Add(request("c/0"))
	if req := <-more; req != request("c/0") {
		t.Errorf("got %s though two of its namespace are being worked on", req)
	}
	go func() {
		req, _ := q.Get()
		more <- req
	}()
	q.Done(request("a/0"))
	if req := <-more; req != request("a/2") {
		t.Errorf("got %s when there was room for its namespace again, want a/2", req)
	}
}

func TestARequestIsNeverWorkedOnTwiceAtOnce(t *testing.T) {
	q := newQueue(4, nil)
	q.Add(request("a/1"))
	first, _ := q.Get()
	q.Add(request("a/1"))
	q.Add(request("b/1"))
	if req, _ := q.Get(); req != request("b/1") {
		t.Fatalf("got %s while it was being worked on", req)
	}
	q.Done(first)
	if diff := cmp.Diff([]string{"a/1"}, served(q)); diff != "" {
		t.Errorf("what was added meanwhile (-want +got):\n%s", diff)
	}
}

func TestShutDownWakesWorkers(t *testing.T) {
	q := newQueue(1, nil)
	ended := make(chan bool)
	go func() {
		_, shutdown := q.Get()
		ended <- shutdown
	}()
	q.ShutDown()
	if !<-ended {
		t.Error("a worker was handed something after the end")
	}
}
