package adjust

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Values of a model that objects may hold. All but the digest are names, made of lower-case letters, digits, '-' and '.'.
type Values struct {
	// Model is the name of the ModelDeployment, Digest that of its weights.
	Model, Digest string
	Namespace     string
	// Policy and Safeguard ask for the object.
	Policy, Safeguard string
}

// longest are values by which it is seen whether every model gets an object.
var longest = Values{Model: strings.Repeat("m", 63), Digest: "sha256:" + strings.Repeat("0", 64), Namespace: strings.Repeat("n", 63),
	Policy: strings.Repeat("p", 63), Safeguard: strings.Repeat("s", 63)}

func (v Values) byName() map[string]string {
	return map[string]string{"model.name": v.Model, "model.digest": v.Digest, "namespace": v.Namespace, "policy.name": v.Policy,
		"safeguard.name": v.Safeguard}
}

// fill gives a copy of a value with the texts in it expanded. What is filled in is never read again, and no text becomes
// anything but a text, so a value cannot change what is around it.
func (v Values) fill(value any, path string) (any, error) {
	switch value := value.(type) {
	case string:
		text, err := v.expand(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return text, nil
	case []any:
		list := make([]any, len(value))
		for i := range value {
			var err error
			if list[i], err = v.fill(value[i], fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return nil, err
			}
		}
		return list, nil
	case map[string]any:
		fields := make(map[string]any, len(value))
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if strings.Contains(key, "$(") {
				return nil, fmt.Errorf("%s: the key %q holds $(; only values can", path, key)
			}
			var err error
			if fields[key], err = v.fill(value[key], path+"."+key); err != nil {
				return nil, err
			}
		}
		return fields, nil
	default:
		return value, nil
	}
}

// expand replaces each $(...) of a text, and $$ by a dollar sign, as Kubernetes does in the arguments of a container; but
// one that it does not know is an error.
func (v Values) expand(text string) (string, error) {
	values := v.byName()
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "("):
			name, rest, closed := strings.Cut(after[1:], ")")
			value, known := values[name]
			if !closed || !known {
				return "", fmt.Errorf("$(%s is not known; there are $(%s); write $$( for the characters $(",
					tail(name, closed), strings.Join(slices.Sorted(maps.Keys(values)), "), $("))
			}
			b.WriteString(value)
			text = rest
		default:
			b.WriteByte('$')
			text = after
		}
	}
}

// tail gives the end of what is not known, as much as a person needs to find it.
func tail(name string, closed bool) string {
	const shown = 40
	switch {
	case len(name) > shown:
		return strings.ToValidUTF8(name[:shown], "") + "..."
	case closed:
		return name + ")"
	default:
		return name
	}
}
