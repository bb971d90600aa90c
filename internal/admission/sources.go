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

// Declarations gives what ModelDeployments declare, in order.
func Declarations(models []v1alpha1.ModelDeployment) []Declaration {
	all := make([]Declaration, 0, len(models))
	for i := range models {
		m := &models[i]
		all = append(all, Declaration{Namespace: m.Namespace, Model: m.Name,
			Digest: m.Spec.Model.Digest, Sources: m.Spec.Model.Sources, Level: m.Spec.AssessedLevel})
	}
	slices.SortFunc(all, func(a, b Declaration) int {
		return slices.Compare([]string{a.Namespace, a.Model}, []string{b.Namespace, b.Model})
	})
	return all
}

// Above says whether a level stands above another in any policy that knows both, or whether none does.
func Above(policies []v1alpha1.ScalingPolicy) func(level, other string) bool {
	return func(level, other string) bool {
		known := false
		for i := range policies {
			place := func(name string) int {
				return slices.IndexFunc(policies[i].Spec.Levels, func(l v1alpha1.Level) bool { return l.Name == name })
			}
			one, two := place(level), place(other)
			if one >= 0 && two >= 0 {
				known = true
				if one > two {
					return true
				}
			}
		}
		return !known
	}
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

// anyTaken is the same for a list of [place, path].
func anyTaken(spots, model string) string {
	return fmt.Sprintf("(%s).exists(s, %s)", spots, taken("s[0]", "s[1]", model))
}

// clean is CEL for a path as sources have it: without what means nothing, and with a slash at its end.
func clean(path string) string {
	return path + ".split('/').filter(s, s != '' && s != '.').map(s, s + '/').join('')"
}

// spotsOfURIs is CEL for where URIs in lower case point: a version or tag behind the name is left to its digest.
func spotsOfURIs(uris string) string {
	return fmt.Sprintf("(%s).map(u, u.split('/', 4)).map(p, [p[0] + '//' + p[2], p.size() < 4 ? '' : %s])",
		uris, clean("p[3].split('@')[0].split(':')[0]"))
}

// spotsOfDigests is the same for digests or commits.
func spotsOfDigests(mark, digests string) string {
	return fmt.Sprintf("%s.map(h, ['%s' + h.substring(0, %d), ''])", digests, mark, shortened)
}

// volumesTaken is CEL for whether a volume of the pod holds what another model declares.
func volumesTaken(model string) string {
	const volumes = "object.spec.?volumes.orValue([])"
	const references = volumes + ".filter(v, has(v.image)).map(v, v.image.?reference.orValue('').lowerAscii())"
	copied := func(field string) string {
		return volumes + ".filter(v, has(v.ephemeral)).map(v, v.ephemeral.?volumeClaimTemplate.?spec.?" + field +
			".?name.orValue('')).filter(name, name != '').map(name, ['pvc://' + name, ''])"
	}
	spots := strings.Join([]string{
		spotsOfURIs(references + ".map(r, 'oci://' + r) + " +
			volumes + ".filter(v, has(v.nfs)).map(v, ('nfs://' + v.nfs.server + v.nfs.path).lowerAscii())"),
		spotsOfDigests("#", references+".join(' ').findAll('[0-9a-f]{64}')"),
		copied("dataSource"), copied("dataSourceRef"),
	}, " + ")
	return fmt.Sprintf(`(%s || %s.exists(v, has(v.persistentVolumeClaim) && containers.exists(c,
  (c.?volumeDevices.orValue([]).filter(d, d.name == v.name).map(d, '') +
   c.?volumeMounts.orValue([]).filter(m, m.name == v.name).map(m, m.?subPath.orValue(''))).exists(path, %s))))`,
		anyTaken(spots, model), volumes, taken("'pvc://' + v.persistentVolumeClaim.claimName", clean("path"), model))
}

// imagesTaken is CEL for whether a container has an image that another model of the namespace declares.
func imagesTaken(model string) string {
	const digests = "containers.map(c, c.?image.orValue('')).join(' ').findAll('@sha256:[0-9a-f]{64}').map(d, d.substring(8))"
	return anyTaken(spotsOfDigests("=", digests), model)
}

// wordsTaken is CEL for whether a command, an argument, a variable, or an attribute of a CSI volume names what another model declares.
func wordsTaken(model string) string {
	const words = `(containers.map(c, (c.?command.orValue([]) + c.?args.orValue([]) + c.?env.orValue([]).map(e, e.?value.orValue(''))).join(' ')) +
   object.spec.?volumes.orValue([]).filter(v, has(v.csi)).map(v, v.csi.?volumeAttributes.orValue({}).map(k, v.csi.volumeAttributes[k]).join(' '))).join(' ').lowerAscii()`
	return fmt.Sprintf("[%s].exists(text, %s)", words, anyTaken(spotsOfDigests("#", "text.findAll('[0-9a-f]{40,}')")+" + "+
		spotsOfURIs(`text.findAll('[a-z][a-z0-9+.-]*://[^ "\',;)]+') + `+
			`(' ' + text).findAll('[ =:"\',][a-z0-9][a-z0-9._-]*/[a-z0-9._-]+').map(w, 'hf://' + w.substring(1))`), model))
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
