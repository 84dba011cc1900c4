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

{{/* How Prometheus logs in, with a line break before it. Nothing if it need not. */}}
{{- define "tallygate.monitorAccess" -}}
{{- with .Values.serviceMonitor -}}
{{- $secret := include "tallygate.monitorSecret" $ -}}
{{- if .basicAuth }}
{{ toYaml (dict "basicAuth" .basicAuth) }}
{{- else if .authorization }}
{{ toYaml (dict "authorization" .authorization) }}
{{- else if $secret }}
basicAuth:
  username:
    name: {{ $secret }}
    key: user
  password:
    name: {{ $secret }}
    key: password
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The secret that the chart makes for Prometheus, and nothing if it makes none. */}}
{{- define "tallygate.monitorSecret" -}}
{{- with .Values.serviceMonitor -}}
{{- if and .enabled (include "tallygate.login" $) (not .basicAuth) (not .authorization) -}}
{{ include "tallygate.fullname" $ }}-basic-auth
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tallygate.monitorLogin" -}}
{{- $login := include "tallygate.login" . | splitn ":" 2 -}}
user: {{ $login._0 | b64enc | quote }}
password: {{ $login._1 | b64enc | quote }}
{{- end -}}
