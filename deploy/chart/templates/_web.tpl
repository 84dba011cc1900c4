{{/* Logins: the web configuration file, and who the probes and Prometheus log in as. */}}

{{- define "tallygate.existingWebSecret" -}}
{{- ((.Values.webConfiguration).existingSecret).name | default "" -}}
{{- end -}}

{{/* The secret with the web configuration. */}}
{{- define "tallygate.webSecret" -}}
{{- include "tallygate.existingWebSecret" . | default (include "tallygate.fullname" .) -}}
{{- end -}}

{{- define "tallygate.webConfiguration" -}}
basic_auth_users:
{{- range $user, $password := (.Values.webConfiguration).basicAuthUsers }}
  {{ toJson $user }}: {{ htpasswd "" $password | trimPrefix ":" | quote }}
{{- end }}
{{- end -}}

{{/* "USER:PASSWORD" of the first user, and nothing if there is none. */}}
{{- define "tallygate.login" -}}
{{- $users := (.Values.webConfiguration).basicAuthUsers | default dict -}}
{{- with keys $users | sortAlpha | first }}{{ . }}:{{ get $users . }}{{ end -}}
{{- end -}}

{{- define "tallygate.monitorLogin" -}}
{{- $login := include "tallygate.login" . | splitn ":" 2 -}}
user: {{ $login._0 | b64enc | quote }}
password: {{ $login._1 | b64enc | quote }}
{{- end -}}
