package compat

import (
	"bytes"
	"context"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/interlock-dev/interlock/internal/testing/neighbours"
	"github.com/interlock-dev/interlock/internal/testing/stack"
)

// module is another project, of which some kinds are defined. It is read from the module cache and not imported, or the
// operator's go.mod would name half the ecosystem.
type module struct {
	neighbours.Module
	// crds are the files that define the kinds under test.
	crds []string
}

var (
	kuberay = module{neighbours.Module{Path: "github.com/ray-project/kuberay/ray-operator", Version: "v1.6.2", Sum: "h1:XUckRswLMyk71D00L62d2Vanh0fVkNqu56+IF/rr+O0="},
		[]string{"config/crd/bases/ray.io_rayclusters.yaml", "config/crd/bases/ray.io_rayservices.yaml"}}
	knative = module{neighbours.Module{Path: "knative.dev/serving", Version: "v0.51.0", Sum: "h1:yN2Q7eYqJgoPfZkATjoBZyGbZ2P1Qhns9HIMU4mF+to="},
		[]string{"config/core/300-resources/service.yaml", "config/core/300-resources/configuration.yaml", "config/core/300-resources/revision.yaml"}}
	rollouts = module{neighbours.Module{Path: "github.com/argoproj/argo-rollouts", Version: "v1.8.3", Sum: "h1:blbtQva4IK9r6gFh+dWkCrLnFdPOWiv9ubQYu36qeaA="},
		[]string{"manifests/crds/rollout-crd.yaml"}}
	kserve = module{neighbours.Module{Path: "github.com/kserve/kserve", Version: "v0.16.0", Sum: "h1:kDkcAU5VMiZf4zhdDXH+UdAIgzXhs10GMv0d9r4qvTs="},
		[]string{"config/crd/full/serving.kserve.io_inferenceservices.yaml", "config/crd/full/llmisvc/serving.kserve.io_llminferenceservices.yaml"}}
	gatewayAPI = module{neighbours.Module{Path: "sigs.k8s.io/gateway-api", Version: "v1.4.0", Sum: "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ="},
		[]string{"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"}}
	lws = module{Module: neighbours.LeaderWorkerSet} // which brings its kinds along when its controller is installed
)

// dir gives the folder of the module in the module cache.
func (m module) dir(ctx context.Context) string {
	GinkgoHelper()
	dir, err := m.Dir(ctx)
	Expect(err).NotTo(HaveOccurred())
	return dir
}

// sample gives the objects of one kind in a file of the module.
func (m module) sample(ctx context.Context, file, kind string) []*unstructured.Unstructured {
	GinkgoHelper()
	raw, err := os.ReadFile(filepath.Join(m.dir(ctx), file))
	Expect(err).NotTo(HaveOccurred())
	var found []*unstructured.Unstructured
	for _, o := range decode(raw) {
		if o.GetKind() == kind {
			found = append(found, o)
		}
	}
	Expect(found).NotTo(BeEmpty(), "%s in %s", kind, file)
	return found
}

func decode(raw []byte) []*unstructured.Unstructured {
	GinkgoHelper()
	var all []*unstructured.Unstructured
	for _, part := range bytes.Split(raw, []byte("\n---")) {
		o := &unstructured.Unstructured{}
		Expect(yaml.Unmarshal(part, &o.Object)).To(Succeed())
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
	return all
}

// fleetKind is how the operator is told of a kind that no release of ours knows.
const fleetKind = `kinds: [{group: example.com, kind: Fleet, stop: {field: spec.ships, value: 0}}]`

// fleets defines that kind, with a scale subresource, and gives the operator the rights on it.
const fleets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Fleet, listKind: FleetList, plural: fleets, singular: fleet}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {scale: {specReplicasPath: .spec.ships, statusReplicasPath: .status.ships}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {ships: {type: integer}}}
          status: {type: object, properties: {ships: {type: integer}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: interlock-manager-fleets}
rules:
- {apiGroups: [example.com], resources: [fleets], verbs: [get, list, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: interlock-manager-fleets}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: interlock-manager-fleets}
subjects:
- {kind: ServiceAccount, name: ` + stack.ServiceAccount + `, namespace: ` + stack.Namespace + `}
`

func installKinds(ctx context.Context) {
	GinkgoHelper()
	args := []string{"apply", "--server-side"}
	for _, m := range []module{kuberay, knative, rollouts, kserve, gatewayAPI} {
		dir := m.dir(ctx)
		for _, file := range m.crds {
			args = append(args, "-f", filepath.Join(dir, file))
		}
	}
	_, err := st.Kubectl(ctx, args...)
	Expect(err).NotTo(HaveOccurred())
	_, err = st.As(st.Kubeconfig()).RunWithInput(ctx, fleets, "apply", "--server-side", "-f", "-")
	Expect(err).NotTo(HaveOccurred())
	_, err = st.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	Expect(err).NotTo(HaveOccurred())
}
