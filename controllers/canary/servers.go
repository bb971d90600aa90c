package canary

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/internal/admission"
)

const (
	// patience is how long an API server may take to enforce what was written: about two seconds, and more on a busy machine.
	patience = 10 * time.Second
	// between is how long it takes until the same API server is asked again within a round.
	between = 250 * time.Millisecond
)

// server is an API server that can be asked.
type server struct {
	address string
	client  client.Client
}

// servers are those that the Service "kubernetes" has behind it, and whoever answers at the address that the operator itself uses.
func (c *Canary) servers(ctx context.Context) ([]server, error) {
	known := &discoveryv1.EndpointSliceList{}
	err := c.Live.List(ctx, known, client.InNamespace(metav1.NamespaceDefault),
		client.MatchingLabels{discoveryv1.LabelServiceName: "kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("list the API servers behind the Service kubernetes: %w", err)
	}
	var all []server
	clients := map[string]client.Client{}
	for _, config := range configs(c.Config, known.Items) {
		cl, ok := c.clients[config.Host]
		if !ok {
			if cl, err = client.New(config, client.Options{Scheme: c.Client.Scheme(), Mapper: c.Client.RESTMapper()}); err != nil {
				return nil, fmt.Errorf("make a client of %s: %w", config.Host, err)
			}
		}
		clients[config.Host] = cl
		all = append(all, server{config.Host, cl})
	}
	c.clients = clients
	return all, nil
}

// configs gives one for each API server. Its certificate need not name the address by which it is reached, but the one that the operator is
// configured with.
func configs(own *rest.Config, known []discoveryv1.EndpointSlice) []*rest.Config {
	all := []*rest.Config{own}
	name := own.ServerName
	if u, err := url.Parse(own.Host); err == nil && name == "" {
		name = u.Hostname()
	}
	for _, host := range hosts(known) {
		if slices.ContainsFunc(all, func(c *rest.Config) bool { return c.Host == host }) {
			continue
		}
		config := rest.CopyConfig(own)
		config.Host, config.ServerName = host, name
		all = append(all, config)
	}
	return all
}

func hosts(known []discoveryv1.EndpointSlice) []string {
	var all []string
	for _, slice := range known {
		for _, port := range slice.Ports {
			if port.Port == nil {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				for _, address := range endpoint.Addresses {
					all = append(all, "https://"+net.JoinHostPort(address, strconv.Itoa(int(*port.Port))))
				}
			}
		}
	}
	return all
}

// answers of all API servers.
type answers struct {
	right int
	// wrong says what is wrong, and none why there is no answer, by API server.
	wrong, none []error
}

// err says what is wrong, or that nobody answered.
func (a answers) err() error {
	if a.right == 0 && len(a.wrong) == 0 {
		return errors.Join(append([]error{errors.New("no API server can be asked")}, a.none...)...)
	}
	return errors.Join(a.wrong...)
}

// askAll asks all at once, so that one which does not answer keeps none waiting.
func askAll(ctx context.Context, servers []server, questions []admission.Question) answers {
	found := make([]error, len(servers))
	var asking sync.WaitGroup
	for i, s := range servers {
		asking.Go(func() { found[i] = s.ask(ctx, questions) })
	}
	asking.Wait()
	var a answers
	for i, err := range found {
		named := fmt.Errorf("API server %s: %w", servers[i].address, err)
		switch {
		case err == nil:
			a.right++
		case errors.Is(err, errUnreachable):
			a.none = append(a.none, named)
		default:
			a.wrong = append(a.wrong, named)
		}
	}
	return a
}

var errUnreachable = errors.New("it cannot be reached")

// ask asks until all answers are right, or the API server has had its time.
func (s server) ask(ctx context.Context, questions []admission.Question) error {
	var wrong error
	err := wait.PollUntilContextTimeout(ctx, between, patience, true, func(ctx context.Context) (bool, error) {
		for _, q := range questions {
			answer := q.Pod.DeepCopy()
			err := s.client.Create(ctx, answer, client.DryRunAll)
			if ctx.Err() != nil && wrong != nil {
				return false, nil // What was said last counts, and not that time ran out.
			}
			if wrong = judge(q, answer, err); wrong != nil {
				return false, nil
			}
		}
		return true, nil
	})
	if wrong != nil {
		return wrong
	}
	return err
}

func judge(q admission.Question, answer *corev1.Pod, err error) error {
	if err != nil && apierrors.ReasonForError(err) == metav1.StatusReasonUnknown {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	if why := q.Judge(answer, err); why != "" {
		return errors.New(why)
	}
	return nil
}
