// Package manifests reads objects from files, as an API server would take them, and makes of them what a cluster would hold: objects
// with their defaults, and the pods that the controllers of workloads would make.
//
// It judges nothing, and writes nothing. It must not import controllers.
package manifests

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// StandardInput is the name of standard input, as a path and as a file.
const StandardInput, standardInputFile = "-", "standard input"

// maxDocument is the most bytes of one document. An API server takes no object that is larger.
const maxDocument = 3 << 20

// Object is one object, and where it stands.
type Object struct {
	*unstructured.Unstructured
	source
}

// Problem is why a part of the input cannot be used.
type Problem struct {
	Position
	// Object is "KIND NAMESPACE/NAME" where that is known.
	Object string
	Err    error
}

// Error says in one line where it is, of what, and what is wrong.
func (p Problem) Error() string {
	if p.Object == "" {
		return fmt.Sprintf("%s: %v", p.Position, p.Err)
	}
	return fmt.Sprintf("%s: %s: %v", p.Position, p.Object, p.Err)
}

// Read reads files, folders with all below them, kustomizations, and standard input as "-". What cannot be used is a Problem, and
// all else is read even so.
func Read(paths []string, stdin io.Reader) (objects []Object, problems []Problem) {
	var r reading
	for _, path := range paths {
		r.path(path, stdin)
	}
	return r.objects, r.problems
}

// Kustomize reads what a kustomization makes. Where that stands in files is not known.
func Kustomize(dir string) (objects []Object, problems []Problem) {
	var r reading
	r.kustomization(dir)
	return r.objects, r.problems
}

type reading struct {
	objects  []Object
	problems []Problem
}

func (r *reading) problem(file string, line int, err error) {
	r.problems = append(r.problems, Problem{Position: Position{File: file, Line: line}, Err: err})
}

func (r *reading) path(path string, stdin io.Reader) {
	if path == StandardInput {
		r.documents(standardInputFile, stdin)
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		r.problem(path, 0, withoutPath(err))
	case !info.IsDir():
		r.file(path)
	case isKustomization(path):
		r.kustomization(path)
	default:
		r.folder(path)
	}
}

// withoutPath gives an error that does not name the file, which stands before it.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

func isKustomization(dir string) bool {
	return slices.ContainsFunc(konfig.RecognizedKustomizationFileNames(), func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}

// folder reads the manifests in a folder and below it. A kustomization below it is read as what it makes.
func (r *reading) folder(dir string) {
	before := len(r.objects) + len(r.problems)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			r.problem(path, 0, withoutPath(err))
		case entry.IsDir() && path != dir && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.IsDir() && isKustomization(path):
			r.kustomization(path)
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			r.file(path)
		}
		return nil
	})
	if err != nil {
		r.problem(dir, 0, err)
	}
	if len(r.objects)+len(r.problems) == before {
		r.problem(dir, 0, errors.New("the folder holds no manifests: no file below it ends in .yaml, .yml or .json"))
	}
}

func (r *reading) file(path string) {
	f, err := os.Open(path)
	if err != nil {
		r.problem(path, 0, withoutPath(err))
		return
	}
	defer func() { _ = f.Close() }()
	r.documents(path, f)
}

func (r *reading) kustomization(dir string) {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		r.problem(dir, 0, err)
		return
	}
	for _, resource := range made.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			r.problem(dir, 0, err)
			continue
		}
		r.document(source{file: dir}, text)
	}
}

// documents reads the documents of a file, one at a time.
func (r *reading) documents(file string, from io.Reader) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(from))
	line, found := 1, 0
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			r.problem(file, line, err)
			return
		}
		// The reader leaves out the line "---" before all documents but the first.
		if r.document(source{file: file, line: line}, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) {
			found++
		}
		line += bytes.Count(text, []byte("\n")) + 1
	}
	if found == 0 {
		r.problem(file, 0, errors.New("it holds no object"))
	}
}

// document reads one document; false if there is nothing in it.
func (r *reading) document(at source, text []byte) bool {
	if len(bytes.TrimSpace(withoutComments(text))) == 0 {
		return false
	}
	content, err := parse(text)
	if err != nil {
		r.problem(at.file, at.line+lineOf(err), withoutLine(err))
		return true
	}
	if content == nil {
		return false
	}
	at.text = text
	r.add(&unstructured.Unstructured{Object: content}, at)
	return true
}

// withoutComments leaves out lines of comments and those that only begin or end a document.
func withoutComments(text []byte) []byte {
	var rest []byte
	for l := range bytes.Lines(text) {
		if t := bytes.TrimSpace(l); len(t) > 0 && t[0] != '#' && !bytes.Equal(t, []byte("---")) && !bytes.Equal(t, []byte("...")) {
			rest = append(rest, l...)
		}
	}
	return rest
}

var errNoManifest = errors.New("it is no manifest: a mapping with apiVersion, kind and metadata.name is expected")

// parse reads YAML as kubectl does, but for keys that stand twice, which are an error.
func parse(text []byte) (map[string]any, error) {
	switch {
	case len(text) > maxDocument:
		return nil, fmt.Errorf("the document has %d bytes, and an API server takes %d at the most", len(text), maxDocument)
	case !utf8.Valid(text) || bytes.ContainsRune(text, 0):
		return nil, errors.New("it is no text in UTF-8")
	}
	json, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(bytes.TrimSpace(json), []byte("null")) {
		return nil, nil
	}
	if len(json) > maxDocument {
		return nil, fmt.Errorf("its aliases make %d bytes of it, and an API server takes %d at the most", len(json), maxDocument)
	}
	o, _, err := unstructured.UnstructuredJSONScheme.Decode(json, nil, nil)
	if err != nil {
		return nil, errNoManifest
	}
	switch o := o.(type) {
	case *unstructured.Unstructured:
		return o.Object, nil
	case *unstructured.UnstructuredList:
		return o.UnstructuredContent(), nil
	}
	return nil, errNoManifest
}

// add takes an object, or all that are in a list.
func (r *reading) add(o *unstructured.Unstructured, at source) {
	if !o.IsList() {
		if o.GetName() == "" && o.GetGenerateName() == "" {
			r.problem(at.file, at.line, fmt.Errorf("%s has no metadata.name", o.GetKind()))
			return
		}
		r.objects = append(r.objects, Object{o, at})
		return
	}
	items, _, _ := unstructured.NestedSlice(o.Object, "items")
	for i := range items {
		item, ok := items[i].(map[string]any)
		if !ok {
			r.problem(at.file, at.line, fmt.Errorf("items[%d] of the %s is no object", i, o.GetKind()))
			continue
		}
		within := at
		within.path = append(slices.Clone(at.path), "items", fmt.Sprint(i))
		r.add(&unstructured.Unstructured{Object: item}, within)
	}
}

// Title names an object for people.
func Title(o metav1.Object, kind string) string {
	name := o.GetName()
	if name == "" {
		name = o.GetGenerateName() + "*"
	}
	if o.GetNamespace() != "" {
		name = o.GetNamespace() + "/" + name
	}
	return kind + " " + name
}
