package admission_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiadmission "k8s.io/apiserver/pkg/admission"

	"github.com/interlock-dev/interlock/internal/admission"
	"github.com/interlock-dev/interlock/internal/testing/builder"
)

var (
	digestLarge = strings.Repeat("24278f9b", 8)
	digestSmall = strings.Repeat("5f70bf18", 8)
	digestFar   = strings.Repeat("0a1b2c3d", 8)
	commitLarge = strings.Repeat("9213176726", 4)
)

// higher compares levels by their names.
func higher(level, other string) bool { return level > other }

func declarations() []admission.Declaration {
	return []admission.Declaration{
		{Namespace: "serving", Model: "large", Level: "ASL-3", Digest: "sha256:" + digestLarge, Sources: []string{
			"oci://registry.example.com/models/large@sha256:" + digestLarge, "hf://example/large@" + commitLarge, "pvc://weights/large",
			"s3://models/large", "nfs://filer/models/large", "https://models.example.com/large.tar"}},
		{Namespace: "serving", Model: "small", Level: "ASL-2", Digest: "sha256:" + digestSmall, Sources: []string{
			"oci://registry.example.com/models/small@sha256:" + digestSmall, "pvc://weights/small", "s3://models/small"}},
		{Namespace: "serving", Model: "liar", Level: "ASL-2", Digest: "sha256:" + digestSmall, Sources: []string{
			"oci://registry.example.com/models/large@sha256:" + digestLarge}},
		{Namespace: "far", Model: "big", Level: "ASL-3", Digest: "sha256:" + digestFar, Sources: []string{
			"oci://elsewhere.example.com/big@sha256:" + digestFar, "pvc://data"}},
	}
}

func TestSources(t *testing.T) {
	all := declarations()
	want := "\n" + strings.Join([]string{
		"#24278f9b24278f9b \tlarge\t", "#5f70bf185f70bf18 \tliar\tsmall\t", "#9213176726921317 \tlarge\t",
		"=24278f9b24278f9b \tlarge\t", "=5f70bf185f70bf18 \tliar\tsmall\t", "=9213176726921317 \tlarge\t",
		"hf://example large/\tlarge\t", "https://models.example.com large.tar/\tlarge\t", "nfs://filer models/large/\tlarge\t",
		"oci://registry.example.com models/large/\tlarge\tliar\t models/small/\tsmall\t", "pvc://weights large/\tlarge\t small/\tsmall\t",
		"s3://models large/\tlarge\t small/\tsmall\t", "#0a1b2c3d0a1b2c3d \t", "oci://elsewhere.example.com big/\t"}, "\n") + "\n"
	if diff := cmp.Diff(want, admission.Sources("serving", all, higher)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := admission.Sources("serving", nil, higher); got != "\n" {
		t.Errorf("of none: %q", got)
	}
	for i := range 10_000 {
		all = append(all, admission.Declaration{Namespace: "a-fat-one", Model: fmt.Sprintf("m%d", i), Digest: fmt.Sprintf("sha256:%016x%048d", (i+1)*2654435761, 0), Sources: []string{fmt.Sprintf("gs://fat-%d", i)}})
	}
	got := admission.Sources("serving", all, higher)
	if !strings.HasPrefix(got, "\n* \n#24278f9b24278f9b ") || len(got) > 70_000 || !strings.Contains(got, "\ns3://models ") {
		t.Errorf("of many: %d bytes, %.200q", len(got), got)
	}
}

// TestNamesOfOthersWeights: what a model declares is named under no other label, whatever it is named by.
func TestNamesOfOthersWeights(t *testing.T) {
	clearances := clearancesOf(cleared("small", "09:00:00"), cleared("large", "09:00:00"), cleared("liar", "09:00:00"))
	clearances.Coverage = "accelerators"
	clearances.Sources = admission.Sources("serving", declarations(), higher)
	server := newAPIServer(t, admission.Policies(install, rulesOfTests()), enforced).put(enforcing(clearances))
	crowded := clearances
	crowded.Sources = "\n* " + clearances.Sources
	crowdedServer := newAPIServer(t, admission.Policies(install, nil), enforced).put(enforcing(crowded))

	volume := func(source corev1.VolumeSource, subPath string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "w", VolumeSource: source})
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "w", MountPath: "/w", SubPath: subPath}}
		}
	}
	image := func(reference string) func(*corev1.Pod) {
		return volume(corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: reference}}, "")
	}
	claim := func(name, subPath string) func(*corev1.Pod) {
		return volume(corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}, subPath)
	}
	args := func(a ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers[0].Args = a }
	}
	runs := func(image string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "modelcar", Image: image}}
		}
	}
	const inVolume, inImage, inWords = "a volume of the pod has", "a container of the pod has the image of", "a command, an argument, a variable"
	for name, tc := range map[string]struct {
		change func(*corev1.Pod)
		// taken begins what is said if the pod names no model or small; large may name all but what far declares.
		taken    string
		mayLarge bool
	}{
		"by digest":                    {image("registry.example.com/models/large@sha256:" + digestLarge), inVolume, true},
		"by digest, from a mirror":     {image("mirror.example.com/x@sha256:" + digestLarge), inVolume, true},
		"by a tag":                     {image("registry.example.com/models/large:v1"), inVolume, true},
		"by name alone":                {image("registry.example.com/models/large"), inVolume, true},
		"of another namespace":         {image("elsewhere.example.com/big@sha256:" + digestFar), inVolume, false},
		"nobody's":                     {image("registry.example.com/models/other@sha256:" + strings.Repeat("0", 64)), "", true},
		"a part of a claim":            {claim("weights", "large"), inVolume, true},
		"a part of that part":          {claim("weights", "large/shard-1"), inVolume, true},
		"a part of a claim, unclean":   {claim("weights", "./large/"), inVolume, true},
		"nobody's part of a claim":     {claim("weights", "tokenizer"), "", true},
		"nobody's claim":               {claim("data", ""), "", true},
		"a folder of NFS":              {volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "filer", Path: "/models/large"}}, ""), inVolume, true},
		"a folder above it":            {volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "filer", Path: "/"}}, ""), inVolume, true},
		"another folder":               {volume(corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{Server: "filer", Path: "/models/largest"}}, ""), "", true},
		"an attribute of a CSI volume": {volume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "model.csi", VolumeAttributes: map[string]string{"reference": "registry.example.com/models/large@sha256:" + digestLarge}}}, ""), inWords, true},
		"a clone of a claim":           {volume(corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{DataSource: &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "weights"}}}}}, ""), inVolume, false},
		"the image of a container":     {runs("mirror.example.com/x@sha256:" + digestLarge), inImage, true},
		"the image of one, of far":     {runs("elsewhere.example.com/big@sha256:" + digestFar), "", true},
		"an argument":                  {args("--model", "s3://models/large"), inWords, true},
		"an argument, with a slash":    {args("--model=s3://models//large/"), inWords, true},
		"an argument in capitals":      {args("--model=S3://models/LARGE"), inWords, true},
		"a file below":                 {args("--model", "s3://models/large/model.safetensors"), inWords, true},
		"the whole bucket":             {args("sync", "s3://models", "/mnt"), inWords, false},
		"another name":                 {args("--model", "s3://models/largest"), "", true},
		"a name and a commit":          {args("--model", "example/large", "--revision", commitLarge), inWords, true},
		"a name without commit":        {args("--model=example/large"), inWords, true},
		"a commit alone":               {args("--revision", commitLarge), inWords, true},
		"a file of a web server":       {args("curl", "https://models.example.com/large.tar"), inWords, true},
		"the web server":               {args("curl", "https://models.example.com/"), "", true},
		"what is no name":              {args("--mime=application/json", "--path=/models/large", "a/b/c"), "", true},
		"a variable": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "X", Value: "s3://models/large"}}
		}, inWords, true},
	} {
		for _, model := range []string{"", "small", "large", "held"} {
			refused := tc.taken != "" && (model != "large" || !tc.mayLarge)
			bothServers(t, name+"/"+model, server, func(t *testing.T, s *apiServer) {
				b := pod().With(tc.change)
				if model != "" {
					b = b.Model(model)
				}
				said := strings.Join(s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: b.Build()}).denials, "\n")
				if refused != (said != "") || !strings.Contains(said, tc.taken) && refused {
					t.Errorf("a new pod: %q", said)
				}
				released := s.serve(t, request{user: install.Username, operation: apiadmission.Update, resource: pods, object: b.Build(), old: b.Gate(gate).Build()})
				if model == "small" && refused != (len(released.denials) > 0) {
					t.Errorf("its release: %q", released.denials)
				}
			})
		}
	}
	own := func(b *builder.PodBuilder, s *apiServer) []string {
		return s.serve(t, request{user: "ann", operation: apiadmission.Create, resource: pods, object: b.Build()}).denials
	}
	for name, tc := range map[string]struct {
		pod    *builder.PodBuilder
		denied bool
	}{
		"small, its own":                  {pod().Model("small").With(image("registry.example.com/models/small@sha256:" + digestSmall)), false},
		"small, its own part of a claim":  {pod().Model("small").With(claim("weights", "small")), false},
		"small, the whole claim":          {pod().Model("small").With(claim("weights", "")), true},
		"declared by who may not have it": {pod().Model("liar").With(image("registry.example.com/models/large@sha256:" + digestLarge)), true},
	} {
		if denials := own(tc.pod, server); tc.denied != (len(denials) > 0) {
			t.Errorf("%s: %q", name, denials)
		}
	}
	if denials := own(pod().Model("small").With(image("nobody.example.com/x@sha256:"+strings.Repeat("0", 64))), crowdedServer); len(denials) == 0 {
		t.Error("where there is no room for all sources, a pod names what nobody is known to declare")
	}
	if denials := own(pod().Model("small").With(image("registry.example.com/models/small@sha256:"+digestSmall)), crowdedServer); len(denials) > 0 {
		t.Errorf("where there is no room for all sources, a pod may not name its own: %q", denials)
	}
}
