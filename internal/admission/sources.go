package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/interlock-dev/interlock/api/v1alpha1"
)

// Declaration is what one ModelDeployment of the cluster declares as its weights.
type Declaration struct {
	Namespace, Model string
	// Digest of the model, and Sources of its weights.
	Digest  string
	Sources []string
	// Level that it was assessed at.
	Level string
}

const (
	// maxSources is the most that is kept for one namespace, in bytes.
	maxSources = 64 << 10
	// shortened is how much of a digest or commit is kept, in characters: as many as nobody finds another for by chance.
	shortened = 16
	// moreSources begins the text if not all sources have room in it.
	moreSources = "\n* \n"
)

// Sources writes what all models of the cluster declare as the API server reads it for the pods of a namespace, those of the
// namespace first. Above says whether the first of two levels asks for more than the second, or may.
//
// Each line is a place and paths below it, "PLACE PATH PATH"; behind each path stand the models of the namespace that may name it.
// A place is "SCHEME://HOST", "#DIGEST" of anything, or "=DIGEST" of the image of a container. All is in lower case.
func Sources(namespace string, all []Declaration, above func(level, other string) bool) string {
	places := map[string]map[string][]string{}
	var own, others []string
	for _, d := range all {
		for _, s := range spots(namespace, d) {
			if places[s.place] == nil {
				places[s.place] = map[string][]string{}
				if d.Namespace == namespace {
					own = append(own, s.place)
				} else {
					others = append(others, s.place)
				}
			}
			models := places[s.place][s.path]
			if d.Namespace == namespace && !borrowed(d, s.place, all, above) {
				models = append(models, d.Model)
			}
			places[s.place][s.path] = models
		}
	}
	slices.Sort(own)
	slices.Sort(others)
	text := "\n"
	for _, place := range append(own, others...) {
		line := place
		for _, path := range slices.Sorted(maps.Keys(places[place])) {
			line += " " + path + "\t"
			for _, model := range slices.Compact(slices.Sorted(slices.Values(places[place][path]))) {
				line += model + "\t"
			}
		}
		if len(text)+len(line) > maxSources {
			return moreSources[:len(moreSources)-1] + text
		}
		text += line + "\n"
	}
	return text
}

type spot struct{ place, path string }

// spots are where the weights of a model lie, as pods of a namespace may name them. A claim is known in its own namespace
// only, and so is the image of a container: anybody could declare that of a server which all use.
func spots(namespace string, d Declaration) []spot {
	var all []spot
	digest := func(hex string) {
		if len(hex) >= shortened {
			all = append(all, spot{place: "#" + hex[:shortened]})
			if d.Namespace == namespace {
				all = append(all, spot{place: "=" + hex[:shortened]})
			}
		}
	}
	if len(d.Sources) > 0 {
		digest(strings.TrimPrefix(d.Digest, "sha256:"))
	}
	for _, source := range d.Sources {
		source = strings.ToLower(source)
		scheme, rest, _ := strings.Cut(source, "://")
		if scheme == "pvc" && d.Namespace != namespace {
			continue
		}
		if name, version, ok := cutLast(rest, "@:"); ok && (scheme == "oci" || scheme == "hf") {
			digest(version)
			rest, _, _ = strings.Cut(name, "@")
		}
		host, path, _ := strings.Cut(rest, "/")
		clean := ""
		for part := range strings.SplitSeq(path, "/") {
			if part != "" && part != "." {
				clean += part + "/"
			}
		}
		all = append(all, spot{scheme + "://" + host, clean})
	}
	return all
}

func cutLast(s, chars string) (before, after string, found bool) {
	i := strings.LastIndexAny(s, chars)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// borrowed says whether a digest that a model declares among its sources is that of another model, which may be required at
// a higher level.
func borrowed(d Declaration, place string, all []Declaration, above func(level, other string) bool) bool {
	hex := strings.TrimLeft(place, "#=")
	if hex == place || strings.HasPrefix(strings.TrimPrefix(d.Digest, "sha256:"), hex) {
		return false
	}
	return slices.ContainsFunc(all, func(o Declaration) bool {
		return strings.HasPrefix(strings.TrimPrefix(o.Digest, "sha256:"), hex) && o.Level != d.Level && above(o.Level, d.Level)
	})
}

// noSources is CEL for whether nothing is declared that a pod could name.
var noSources = fmt.Sprintf(`params.metadata.annotations[?'%s'].orValue('\n') == '\n'`, sourcesKey)

// taken is CEL for whether a place and a path are declared by another model than one, and not by that. What lies above or
// below what is declared counts as well; of web servers, only what lies below.
func taken(place, path, model string) string {
	return fmt.Sprintf(`[[%s, %s, '\t' + %s + '\t']].exists(t, [%s.split(' ').filter(e, e != '')].exists(es,
  !es.exists(e, e.contains(t[2]) && t[1].startsWith(e.split('\t')[0])) &&
  (es.exists(e, !e.contains(t[2]) && (t[1].startsWith(e.split('\t')[0]) || (!t[0].startsWith('http') && e.split('\t')[0].startsWith(t[1])))) ||
   (%s.startsWith('\n* ') && t[0].matches('^(#|(oci|s3|gs|nfs|az|hdfs)://)')))))`,
		place, path, model, lineOf(sourcesKey, "t[0]"), textOf(sourcesKey))
}

// takenURI is the same for a URI in lower case: a version or tag behind its name is left to its digest.
func takenURI(uri, model string) string {
	return fmt.Sprintf(`[%s.split('/', 4)].exists(p, %s)`, uri, taken("p[0] + '//' + p[2]",
		`(p.size() < 4 ? '' : p[3].split('@')[0].split(':')[0].split('/').filter(s, s != '' && s != '.').map(s, s + '/').join(''))`, model))
}

// takenDigest is the same for a digest or commit.
func takenDigest(mark, hex, model string) string {
	return taken(fmt.Sprintf("'%s' + %s.substring(0, %d)", mark, hex, shortened), "''", model)
}

// volumesTaken is CEL for whether a volume of the pod holds what another model declares.
func volumesTaken(model string) string {
	const mounts = `containers.map(c, c.?volumeDevices.orValue([]).exists(d, d.name == v.name) ? ['']
    : c.?volumeMounts.orValue([]).filter(m, m.name == v.name).map(m, m.?subPath.orValue('')))`
	claim := func(name, path string) string { return taken("'pvc://' + "+name, path, model) }
	return fmt.Sprintf(`object.spec.?volumes.orValue([]).exists(v,
  (has(v.image) && [v.image.?reference.orValue('').lowerAscii()].exists(r, %s || r.findAll('[0-9a-f]{64}').exists(h, %s))) ||
  (has(v.persistentVolumeClaim) && %s.exists(ms, ms.exists(m, %s))) ||
  (has(v.ephemeral) && [v.ephemeral.?volumeClaimTemplate.?spec.?dataSource.?name.orValue(''),
    v.ephemeral.?volumeClaimTemplate.?spec.?dataSourceRef.?name.orValue('')].exists(s, s != '' && %s)) ||
  (has(v.nfs) && %s))`,
		takenURI("('oci://' + r)", model), takenDigest("#", "h", model),
		mounts, claim("v.persistentVolumeClaim.claimName", "m.split('/').filter(s, s != '' && s != '.').map(s, s + '/').join('')"),
		claim("s", "''"),
		takenURI("('nfs://' + v.nfs.server + v.nfs.path).lowerAscii()", model))
}

// imagesTaken is CEL for whether a container has an image that another model of the namespace declares.
func imagesTaken(model string) string {
	return fmt.Sprintf(`containers.exists(c, c.?image.orValue('').findAll('@sha256:[0-9a-f]{64}').exists(d, %s))`,
		takenDigest("=", "d.substring(8)", model))
}

// wordsTaken is CEL for whether a command, an argument, a variable, or an attribute of a CSI volume names what another model declares.
func wordsTaken(model string) string {
	return fmt.Sprintf(`[(containers.map(c, (c.?command.orValue([]) + c.?args.orValue([]) + c.?env.orValue([]).map(e, e.?value.orValue(''))).join(' ')) +
   object.spec.?volumes.orValue([]).filter(v, has(v.csi)).map(v, v.csi.?volumeAttributes.orValue({}).map(k, v.csi.volumeAttributes[k]).join(' '))).join(' ').lowerAscii()].exists(text,
  text.findAll('[0-9a-f]{40,}').exists(h, %s) ||
  text.findAll('[a-z][a-z0-9+.-]*://[^ "\',;)]+').exists(u, %s) ||
  (' ' + text).findAll('[ =:"\',][a-z0-9][a-z0-9._-]*/[a-z0-9._-]+').exists(w, %s))`,
		takenDigest("#", "h", model), takenURI("u", model), takenURI("('hf://' + w.substring(1))", model))
}

// namesTaken is CEL for whether a pod names, in any way, what another model than its own declares.
func namesTaken(model string) string {
	return fmt.Sprintf("!(%s || [dyn(%s)].all(containers, !%s && !%s && !%s))", noSources, v1alpha1.AllContainers,
		volumesTaken(model), imagesTaken(model), wordsTaken(model))
}

// ownWeights refuse a pod that names what another model declares, unless the condition excuses it.
func ownWeights(excuse string) []admissionv1.Validation {
	const remedy = ", which another ModelDeployment declares as its weights: name that one in the label " + v1alpha1.ModelLabel +
		", or declare them in spec.model.sources of your own"
	var validations []admissionv1.Validation
	for _, v := range []struct{ taken, what string }{
		{volumesTaken("variables.named"), "a volume of the pod has"},
		{imagesTaken("variables.named"), "a container of the pod has the image of"},
		{wordsTaken("variables.named"), "a command, an argument, a variable or a volume attribute of the pod names"},
	} {
		validations = append(validations, deny(fmt.Sprintf("%s || %s || [dyn(%s)].all(containers, !%s)", excuse, noSources, v1alpha1.AllContainers, v.taken),
			v.what+" something"+remedy, ""))
	}
	return validations
}
