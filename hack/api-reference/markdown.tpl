{{- define "gvList" -}}
<!-- Written by `make manifests` from the types in api/. -->

# API reference
{{ range . }}
{{- $gv := . }}
## {{ $gv.GroupVersionString }}

{{ trim $gv.Doc }}

Kinds:
{{ range $gv.SortedKinds }}
- {{ markdownRenderTypeLink ($gv.TypeForKind .) }}
{{- end }}
{{ range $gv.SortedKinds }}{{ template "type" ($gv.TypeForKind .) }}{{ end }}
{{- range $gv.SortedTypes }}{{ if not .GVK }}{{ template "type" . }}{{ end }}{{ end }}
{{- end }}
{{- end -}}

{{- define "type" -}}
{{- $type := . -}}
{{- if markdownShouldRenderType $type }}
### {{ $type.Name }}

{{ trim $type.Doc }}
{{ if and $type.IsAlias (not $type.EnumValues) }}
A {{ markdownRenderTypeLink $type.UnderlyingType }}{{ range $type.Validation }}, {{ template "limit" . }}{{ end }}.
{{ end }}
{{- if $type.References }}
Used in {{ range $i, $ref := $type.SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $ref }}{{ end }}.
{{ end }}
{{- if $type.Members }}
| Field | Type | Meaning | Limits |
| --- | --- | --- | --- |
{{- if $type.GVK }}
| `apiVersion` | string | `{{ $type.GVK.Group }}/{{ $type.GVK.Version }}` | required |
| `kind` | string | `{{ $type.GVK.Kind }}` | required |
{{- end }}
{{- range $type.Members }}
| `{{ .Name }}` | {{ markdownRenderType .Type }} | {{ if eq .Name "metadata" -}}
The name, labels and so on of every object.
{{- else -}}
{{ template "cell" .Doc }}
{{- end }} | {{ with .Default }}default `{{ . }}`<br>{{ end -}}
{{ range $i, $v := .Validation }}{{ if $i }}<br>{{ end }}{{ template "limit" $v }}{{ end }} |
{{- end }}
{{ end }}
{{- if $type.EnumValues }}
| Value | Meaning |
| --- | --- |
{{- range $type.EnumValues }}
| `{{ .Name }}` | {{ template "cell" (regexReplaceAll "^[A-Z]\\w+(:| is| are) " .Doc "") }} |
{{- end }}
{{ end }}
{{- end -}}
{{- end -}}

{{- /* A text within a table: no line breaks, no column breaks. */ -}}
{{- define "cell" }}{{ . | trim | replace "\n" " " | replace "|" "\\|" }}{{ end -}}

{{- define "limit" -}}
{{- if eq . "Required: {}" -}} required
{{- else if eq . "Optional: {}" -}} optional
{{- else if hasPrefix "Enum: [" . -}} one of {{ . | trimPrefix "Enum: [" | trimSuffix "]" | replace " " ", " }}
{{- else -}} {{ . | replace "|" "\\|" }}
{{- end -}}
{{- end -}}
