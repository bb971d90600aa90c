package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// deployed gives the Deployment of config/manager, and the configuration that its arguments make.
func deployed(t *testing.T) (*appsv1.Deployment, config) {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join("config", "manager", "manager.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(manifest), "\n---\n")
	d := &appsv1.Deployment{}
	if err := yaml.UnmarshalStrict([]byte(first), d); err != nil {
		t.Fatal(err)
	}
	var c config
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.bind(flags)
	manager := d.Spec.Template.Spec.Containers[0]
	limit := strconv.FormatInt(manager.Resources.Limits.Memory().Value(), 10)
	var args []string
	for _, arg := range manager.Args { // as the kubelet makes them
		args = append(args, strings.ReplaceAll(arg, "$(MEMORY_LIMIT)", limit))
	}
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		t.Fatalf("the arguments of config/manager: %v, %v", err, flags.Args())
	}
	return d, c
}

// mounted gives the volume that holds a path, and says whether it is read only.
func mounted(t *testing.T, d *appsv1.Deployment, path string) (name string, readOnly bool) {
	t.Helper()
	for _, m := range d.Spec.Template.Spec.Containers[0].VolumeMounts {
		if path == m.MountPath || strings.HasPrefix(path, m.MountPath+"/") {
			return m.Name, m.ReadOnly
		}
	}
	t.Fatalf("%s is on no volume", path)
	return "", false
}

func TestTheManagerKnowsItsMemoryLimit(t *testing.T) {
	d, c := deployed(t)
	env := d.Spec.Template.Spec.Containers[0].Env
	if i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "MEMORY_LIMIT" }); i < 0 || env[i].ValueFrom.ResourceFieldRef.Resource != "limits.memory" {
		t.Errorf("MEMORY_LIMIT is not the limit of the container: %v", env)
	}
	if c.memoryLimit != defaultMemory {
		t.Errorf("--memory-limit is %d in config/manager, and %d is taken for it where there is none", c.memoryLimit, defaultMemory)
	}
}

func TestTheKeyOfTheRecordIsMountedFromASecretAndNotBesideTheLog(t *testing.T) {
	d, c := deployed(t)
	volume, readOnly := mounted(t, d, c.recordKeyMount)
	log, _ := mounted(t, d, c.recordDir)
	if !readOnly || volume == log {
		t.Errorf("the key lies on volume %s, read only: %v; the log on %s", volume, readOnly, log)
	}
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Name != volume {
			continue
		}
		if s := v.Secret; s == nil || s.SecretName != "interlock-record-key" || s.Optional == nil || !*s.Optional || *s.DefaultMode&0o007 != 0 {
			t.Errorf("the key is mounted from %+v", v.VolumeSource)
		}
	}
}
