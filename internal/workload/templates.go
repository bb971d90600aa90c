package workload

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Template is the template of pods that stands in an object.
type Template struct {
	// Path of the template, such as spec, template.
	Path []string
	// Content has metadata and spec.
	Content map[string]any
}

// TemplatesIn gives the templates of pods that stand in an object of the kind. Of a Pod that is the whole object.
func (k *Kind) TemplatesIn(object map[string]any) []Template {
	if k.Group == "" && k.Kind == "Pod" {
		return []Template{{Content: object}}
	}
	var all []Template
	for _, path := range k.Templates {
		all = append(all, templatesAt(object, strings.Split(path, "."), nil)...)
	}
	return all
}

func templatesAt(value any, path, walked []string) []Template {
	if len(path) == 0 {
		if content, ok := value.(map[string]any); ok {
			return []Template{{Path: walked, Content: content}}
		}
		return nil
	}
	var all []Template
	walk := func(key string, below any) {
		all = append(all, templatesAt(below, path[1:], append(slices.Clone(walked), key))...)
	}
	switch v := value.(type) {
	case map[string]any:
		if path[0] == "*" {
			for _, key := range slices.Sorted(maps.Keys(v)) {
				walk(key, v[key])
			}
		} else if below, ok := v[path[0]]; ok {
			walk(path[0], below)
		}
	case []any:
		if path[0] == "*" {
			for i := range v {
				walk(strconv.Itoa(i), v[i])
			}
		}
	}
	return all
}
