package canary

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/rest"
)

func TestConfigs(t *testing.T) {
	slice := func(addresses ...string) discoveryv1.EndpointSlice {
		s := discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Port: new(int32(6443))}, {}}}
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
		}
		return s
	}
	for name, tc := range map[string]struct {
		own   rest.Config
		known []discoveryv1.EndpointSlice
		want  []string
	}{
		"nobody is known": {rest.Config{Host: "https://api.example.com"}, nil, []string{"https://api.example.com"}},
		"several behind one address": {
			rest.Config{Host: "https://10.96.0.1:443"},
			[]discoveryv1.EndpointSlice{slice("192.0.2.1", "192.0.2.2"), slice("192.0.2.1", "2001:db8::1")},
			[]string{"https://10.96.0.1:443", "https://192.0.2.1:6443 as 10.96.0.1", "https://192.0.2.2:6443 as 10.96.0.1",
				"https://[2001:db8::1]:6443 as 10.96.0.1"}},
		"the one that is configured": {
			rest.Config{Host: "https://192.0.2.1:6443"}, []discoveryv1.EndpointSlice{slice("192.0.2.1")}, []string{"https://192.0.2.1:6443"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range configs(&tc.own, tc.known) {
				address := c.Host
				if c.ServerName != "" {
					address += " as " + c.ServerName
				}
				got = append(got, address)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("API servers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	unreachable, wrong := fmt.Errorf("a: %w", errUnreachable), errors.New("b: it lets in a pod")
	for name, tc := range map[string]struct {
		answers answers
		want    string
	}{
		"all are right":                         {answers{right: 2}, ""},
		"one is wrong":                          {answers{right: 2, wrong: []error{wrong}}, "b: it lets in a pod"},
		"one is wrong, the other has no answer": {answers{wrong: []error{wrong}, none: []error{unreachable}}, "b: it lets in a pod"},
		"one is right, the other has no answer": {answers{right: 1, none: []error{unreachable}}, ""},
		"there is no answer":                    {answers{none: []error{unreachable}}, "no API server can be asked\na: it cannot be reached"},
		"there is no API server":                {answers{}, "no API server can be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := tc.answers.err(); err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("err() = %q, want %q", got, tc.want)
			}
		})
	}
}
