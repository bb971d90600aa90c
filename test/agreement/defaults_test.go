package agreement

import (
	"context"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/interlock-dev/interlock/internal/manifests"
	"github.com/interlock-dev/interlock/internal/workload"
)

// podsToDefault are pods in which every field that has a default is left out once, and given once.
const podsToDefault = `
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: defaults}
spec:
  containers:
  - {name: c, image: registry.example.com:5000/a/b}
---
apiVersion: v1
kind: Pod
metadata: {name: rich, namespace: defaults}
spec:
  hostNetwork: true
  restartPolicy: Never
  tolerations: [{operator: Exists}]
  securityContext: {runAsUser: 1}
  initContainers:
  - {name: i, image: "a:latest", restartPolicy: Always, securityContext: {privileged: true}}
  containers:
  - name: c
    image: a:1@sha256:1111111111111111111111111111111111111111111111111111111111111111
    ports: [{containerPort: 80}, {containerPort: 81, protocol: UDP}]
    env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    resources: {limits: {cpu: "1", nvidia.com/gpu: 1}, requests: {cpu: 500m}}
    livenessProbe: {exec: {command: [a]}}
    readinessProbe: {httpGet: {port: 80}, periodSeconds: 3}
    startupProbe: {grpc: {port: 81}}
    lifecycle: {preStop: {httpGet: {port: 80}}, postStart: {exec: {command: [a]}}}
    securityContext: {capabilities: {drop: [ALL]}}
    volumeMounts: [{name: e, mountPath: /e}]
  volumes:
  - {name: e}
  - {name: s, secret: {secretName: s}}
  - {name: m, configMap: {name: m}}
  - {name: h, hostPath: {path: /h}}
  - {name: i, image: {reference: "a:latest"}}
  - {name: d, downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}]}}
  - name: p
    projected: {sources: [{serviceAccountToken: {path: t, audience: a}}, {downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}]}}]}
  - name: c
    ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: tokenless, namespace: defaults}
spec:
  automountServiceAccountToken: false
  serviceAccount: default
  terminationGracePeriodSeconds: 5
  containers:
  - {name: c, image: "a:1", imagePullPolicy: Always, ports: [{containerPort: 80, hostPort: 80}]}
`

// compareDefaults has an API server and check give the same pods their defaults.
func compareDefaults(t *testing.T, api client.Client) {
	ctx := t.Context()
	ns := &corev1.Namespace{}
	ns.Name = "defaults"
	if err := api.Create(ctx, ns); err != nil {
		t.Fatal(err)
	}
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		return api.Get(ctx, client.ObjectKey{Namespace: "defaults", Name: "default"}, &corev1.ServiceAccount{}) == nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := manifests.Read([]string{manifests.StandardInput}, strings.NewReader(podsToDefault))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	kinds, err := workload.LoadKinds("")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		pods, err := manifests.Pods(o, kinds.Of("", "Pod"))
		if err != nil {
			t.Fatal(err)
		}
		created, given := o.DeepCopy(), &corev1.Pod{}
		if err := api.Create(ctx, created, client.DryRunAll); err != nil {
			t.Fatal(err)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(created.Object, given); err != nil {
			t.Fatal(err)
		}
		token := cmpopts.AcyclicTransformer("token", func(name string) string {
			if strings.HasPrefix(name, "kube-api-access-") {
				return "kube-api-access"
			}
			return name
		})
		if diff := gocmp.Diff(given.Spec, pods[0].Spec, token); diff != "" {
			t.Errorf("pod %s (-API server +check):\n%s", o.GetName(), diff)
		}
	}
}
