{{/* The database that takes the place of a persistence file. */}}

{{/* The secret with the address of the database that the values `database` give, and nothing without one. */}}
{{- define "tallygate.databaseSecret" -}}
{{- with .Values.database -}}
{{- if .url }}{{ include "tallygate.fullname" $ }}-database{{ else }}{{ .existingSecret | default "" }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The setting that names a database, and nothing if only the values `database` may do so. */}}
{{- define "tallygate.databaseSetting" -}}
{{- range list "postgres" "postgres_file" }}
{{- if include "tallygate.persistence" (list $ .) }}persistence.{{ . }} {{ end }}
{{- end -}}
{{- end -}}

{{/* Not empty if the gateways keep their metrics in a database. */}}
{{- define "tallygate.database" -}}
{{- include "tallygate.databaseSecret" . }}{{ include "tallygate.databaseSetting" . -}}
{{- end -}}

{{/* Not empty if several gateways share a database. */}}
{{- define "tallygate.shared" -}}
{{- if gt (int .Values.replicaCount) 1 }}{{ include "tallygate.database" . }}{{ end -}}
{{- end -}}
