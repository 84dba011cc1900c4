{{/* A value in TOML. Numbers of values files are floating point, whatever they look like. */}}
{{- define "tallygate.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }},{{ end }} {{ toJson $key }} = {{ include "tallygate.toml.value" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{ range $i, $item := . }}{{ if $i }}, {{ end }}{{ include "tallygate.toml.value" $item }}{{ end }}]
{{- else if kindIs "float64" . -}}
{{- if eq . (floor .) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end -}}

{{/* tallygate.config as a TOML file. */}}
{{- define "tallygate.toml" -}}
{{- range $table, $settings := (.Values.tallygate).config }}
{{- if not (kindIs "map" $settings) }}
{{- fail (printf "tallygate.config.%s is no table of settings, such as log: {level: debug}" $table) }}
{{- end }}
[{{ $table }}]
{{- range $key, $value := $settings }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }} = {{ include "tallygate.toml.value" $value }}
{{- end }}
{{- end }}
{{ end }}
{{- end -}}
