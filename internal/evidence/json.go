package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readObject reads one JSON object and nothing after it. What two readers could understand differently is an error: a key
// that comes twice, a number that does not fit, text that is not UTF-8.
func readObject(text []byte) (map[string]any, error) {
	switch {
	case len(text) > MaxSize:
		return nil, fmt.Errorf("has %d bytes, and %d are the most that is read", len(text), MaxSize)
	case !utf8.Valid(text):
		return nil, errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	r := reader{decoder: d}
	value, err := r.value(0)
	if err != nil {
		return nil, fmt.Errorf("is not JSON as it should be: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something after the JSON object")
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	return object, nil
}

type reader struct {
	decoder *json.Decoder
	values  int
}

func (r *reader) value(depth int) (any, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, err
	}
	return r.from(token, depth)
}

func (r *reader) from(token json.Token, depth int) (any, error) {
	r.values++
	switch {
	case r.values > maxValues:
		return nil, fmt.Errorf("more than %d values", maxValues)
	case depth > maxDepth:
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case json.Number:
		return number(t.String())
	default:
		return t, nil
	}
}

func (r *reader) object(depth int) (map[string]any, error) {
	object := map[string]any{}
	for r.decoder.More() {
		token, err := r.decoder.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, errors.New("a key is not text")
		}
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("the key %.40q comes twice", key)
		}
		if object[key], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := r.decoder.Token()
	return object, err
}

func (r *reader) array(depth int) ([]any, error) {
	array := []any{}
	for r.decoder.More() {
		value, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := r.decoder.Token()
	return array, err
}

func number(text string) (any, error) {
	if !strings.ContainsAny(text, ".eE") {
		whole, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the number %.40s does not fit into 64 bits", text)
		}
		return whole, nil
	}
	float, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, fmt.Errorf("the number %.40s does not fit into 64 bits", text)
	}
	return float, nil
}

// at gives the text at a path of keys; empty, if there is none.
func at(object map[string]any, path ...string) string {
	for _, key := range path[:len(path)-1] {
		object, _ = object[key].(map[string]any)
	}
	text, _ := object[path[len(path)-1]].(string)
	return text
}
