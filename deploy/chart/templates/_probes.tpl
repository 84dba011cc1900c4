{{/* What a probe asks, from its values: (list ROOT PROBE). */}}
{{- define "tallygate.handler" -}}
{{- $root := index . 0 -}}
{{- with (index . 1).httpGet -}}
{{- $anonymous := dig "access" "anonymous" list (($root.Values.tallygate).config | default dict) -}}
{{- $open := has "health" $anonymous -}}
{{- if and (include "tallygate.existingWebSecret" $root) (not $open) -}}
tcpSocket:
  port: {{ .port }}
{{- else -}}
httpGet:
  {{- omit . "httpHeaders" | toYaml | nindent 2 }}
  {{- $headers := .httpHeaders | default list }}
  {{- $login := include "tallygate.login" $root }}
  {{- if and $login (not $open) }}
  {{- $headers = prepend $headers (dict "name" "Authorization" "value" (printf "Basic %s" (b64enc $login))) }}
  {{- end }}
  {{- with $headers }}
  httpHeaders:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A whole probe: (list ROOT PROBE). */}}
{{- define "tallygate.probe" -}}
{{- include "tallygate.handler" . }}
{{ with omit (index . 1) "httpGet" }}{{ toYaml . }}{{ end }}
{{- end -}}

{{/* The startup probe asks what the liveness probe asks, at its own times. */}}
{{- define "tallygate.startupProbe" -}}
{{- $times := list "initialDelaySeconds" "periodSeconds" "timeoutSeconds" "successThreshold" "failureThreshold"
    "terminationGracePeriodSeconds" -}}
{{- $probe := deepCopy .Values.liveness.probe -}}
{{- range $times }}{{ $_ := unset $probe . }}{{ end -}}
{{- include "tallygate.probe" (list . (merge (deepCopy .Values.startupProbe.probe) $probe)) -}}
{{- end -}}
